# The roles of the HumanGovState operator, of its sweeps and of its reports, and the permissions boundary of the roles that
# it creates. The documents are deploy/iam/*.json: their placeholders are the keys of local.values.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

locals {
  values = {
    Partition      = data.aws_partition.current.partition
    Account        = data.aws_caller_identity.current.account_id
    Region         = var.region
    Tables         = var.tables
    Buckets        = var.buckets
    Functions      = var.functions
    TenantRoles    = var.tenant_roles
    Boundary       = var.boundary
    OIDCProvider   = var.oidc_provider != null ? var.oidc_provider : ""
    ClusterARN     = var.cluster_arn != null ? var.cluster_arn : ""
    Namespace      = var.namespace
    ServiceAccount = var.service_account

    SweepServiceAccount = var.sweep_service_account
    SweepRoles          = var.sweep_roles

    ReportServiceAccount = var.report_service_account
    ReportBucket         = var.report_bucket
    SigningAlias         = var.signing_alias
    ReaderRole           = var.reader_role

    Organization = var.organization_id != null ? var.organization_id : ""
  }

  trust = var.oidc_provider != null ? "trust-irsa.json" : "trust-pod-identity.json"

  # assumes_roles: those of HumanGovStates with an account of their own, so organization-policy.json limits it too.
  roles = {
    operator = {
      name            = var.role_name
      description     = "The HumanGovState operator."
      calls           = "The calls that the HumanGovState operator makes."
      policy          = "operator-policy.json"
      trust           = local.trust
      service_account = var.service_account
      assumes_roles   = true
    }

    # It reads records and erases files, which the operator can't.
    sweep = {
      name            = var.sweep_role_name
      description     = "The sweeps of the HumanGovState operator."
      calls           = "The calls that a sweep makes."
      policy          = "sweep-policy.json"
      trust           = "sweep-${local.trust}"
      service_account = var.sweep_service_account
      assumes_roles   = true
    }

    # It reads logs and orphan lists, and writes into one bucket.
    report = {
      name            = var.report_role_name
      description     = "The reports and checkpoints of the HumanGovState operator."
      calls           = "The calls that reports and checkpoints make."
      policy          = "report-policy.json"
      trust           = "report-${local.trust}"
      service_account = var.report_service_account
      assumes_roles   = true
    }
  }
}

resource "aws_iam_policy" "boundary" {
  name        = var.boundary
  description = "The maximum permissions of a role that the HumanGovState operator creates."
  policy      = jsonencode(jsondecode(templatefile("${path.module}/../boundary-policy.json", local.values)))
  tags        = var.tags
}

resource "aws_iam_policy" "all" {
  for_each = local.roles

  name        = each.value.name
  description = each.value.calls
  policy      = jsonencode(jsondecode(templatefile("${path.module}/../${each.value.policy}", local.values)))
  tags        = var.tags
}

resource "aws_iam_role" "all" {
  for_each = local.roles

  name               = each.value.name
  description        = each.value.description
  assume_role_policy = jsonencode(jsondecode(templatefile("${path.module}/../${each.value.trust}", local.values)))
  tags               = var.tags

  lifecycle {
    precondition {
      condition     = (var.oidc_provider != null) != (var.cluster_arn != null)
      error_message = "Give oidc_provider (IRSA) or cluster_arn (EKS Pod Identity), and not both."
    }
  }
}

resource "aws_iam_role_policy_attachment" "all" {
  for_each = local.roles

  role       = aws_iam_role.all[each.key].name
  policy_arn = aws_iam_policy.all[each.key].arn
}

resource "aws_iam_role_policy" "organization" {
  for_each = { for key, one in local.roles : key => one if one.assumes_roles && var.organization_id != null }

  name   = "organization"
  role   = aws_iam_role.all[each.key].name
  policy = jsonencode(jsondecode(templatefile("${path.module}/../organization-policy.json", local.values)))
}

resource "aws_eks_pod_identity_association" "all" {
  for_each = var.cluster_arn != null ? local.roles : {}

  cluster_name    = split("/", var.cluster_arn)[1]
  namespace       = var.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.all[each.key].arn
  tags            = var.tags
}
