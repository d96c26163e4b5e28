# The AWS resources that the operator manages.

variable "region" {
  description = "Region of the tables and buckets; * if the HumanGovStates name several."
  type        = string

  validation {
    condition     = can(regex("^((eusc|[a-z]{2})(-[a-z]+)+-[0-9]|\\*)$", var.region))
    error_message = "region is an AWS region, like us-east-1, or * for several."
  }
}

variable "tables" {
  description = "Pattern of the tables' names."
  type        = string
  default     = "humangov-*"
}

variable "buckets" {
  description = "Pattern of the buckets' names."
  type        = string
  default     = "humangov-*"
}

variable "functions" {
  description = "Pattern of the functions' names; it ends with *. No other function may match it."
  type        = string
  default     = "humangov-*"

  validation {
    condition     = endswith(var.functions, "*")
    error_message = "functions ends with *, because names of roles and log groups go on after the function's."
  }
}

# Who the operator is: by IRSA (oidc_provider) or by EKS Pod Identity (cluster_arn).

variable "oidc_provider" {
  description = "IRSA: issuer of the cluster's tokens without https://, like oidc.eks.us-east-1.amazonaws.com/id/0123."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_provider == null ? true : !can(regex("^(https?:|arn:)", var.oidc_provider))
    error_message = "oidc_provider is the issuer without https://, not a URL and not an ARN."
  }
}

variable "cluster_arn" {
  description = "EKS Pod Identity: ARN of the cluster."
  type        = string
  default     = null
}

variable "namespace" {
  description = "The operator's namespace."
  type        = string
  default     = "humangov"
}

variable "service_account" {
  description = "The operator's service account."
  type        = string
  default     = "humangov-operator"
}

variable "sweep_service_account" {
  description = "The service account of the sweeps' pods."
  type        = string
  default     = "humangov-operator-sweep"
}

variable "report_service_account" {
  description = "The service account of the pods that write reports and checkpoints."
  type        = string
  default     = "humangov-operator-reports"
}

variable "report_bucket" {
  description = "The bucket of reports and checkpoints. Its name does not match buckets: a sweep may erase there."
  type        = string
  default     = "reports-of-humangov"
}

variable "signing_alias" {
  description = "Alias of the KMS key that may sign checkpoints, if there is one."
  type        = string
  default     = "alias/humangov-checkpoints"

  validation {
    condition     = startswith(var.signing_alias, "alias/")
    error_message = "signing_alias begins with alias/."
  }
}

variable "tenant_roles" {
  description = "Pattern of the names of roles, in any account, that spec.account.roleARN may name."
  type        = string
  default     = "humangov-tenant-*"
}

variable "sweep_roles" {
  description = "Pattern of the names of roles, in any account, that spec.account.sweepRoleARN may name."
  type        = string
  default     = "humangov-sweep-*"
}

variable "reader_role" {
  description = "Name of the role that reports assume in other accounts, with its path (reports.accountRole)."
  type        = string
  default     = "humangov-report-reader"
}

variable "organization_id" {
  description = "AWS Organizations: ID, like o-a1b2c3d4e5. The three roles then assume no role of an account outside of it."
  type        = string
  default     = null

  validation {
    condition     = var.organization_id == null ? true : can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "organization_id is the ID of an organization, like o-a1b2c3d4e5."
  }
}

# Names.

variable "sweep_role_name" {
  description = "Name of the sweeps' role, and of its policy."
  type        = string
  default     = "humangov-sweep"
}

variable "report_role_name" {
  description = "Name of the role of reports and checkpoints, and of its policy."
  type        = string
  default     = "humangov-report"
}

variable "role_name" {
  description = "Name of the operator's role, and of its policy."
  type        = string
  default     = "humangov-operator"
}

variable "boundary" {
  description = "Name of the permissions boundary."
  type        = string
  default     = "humangov-cleanup-boundary"
}

variable "tags" {
  description = "Tags of the role and the policies."
  type        = map(string)
  default     = {}
}
