# The roles of the HumanGovState operator and of its sweeps, and the permissions boundary of the roles that it creates. The
# documents are deploy/iam/*.json: their placeholders are the keys of local.values.

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
  }

  trust       = var.oidc_provider != null ? "trust-irsa.json" : "trust-pod-identity.json"
  sweep_trust = var.oidc_provider != null ? "sweep-trust-irsa.json" : "sweep-trust-pod-identity.json"
}

resource "aws_iam_policy" "boundary" {
  name        = var.boundary
  description = "The maximum permissions of a role that the HumanGovState operator creates."
  policy      = jsonencode(jsondecode(templatefile("${path.module}/../boundary-policy.json", local.values)))
  tags        = var.tags
}

resource "aws_iam_policy" "operator" {
  name        = var.role_name
  description = "The calls that the HumanGovState operator makes."
  policy      = jsonencode(jsondecode(templatefile("${path.module}/../operator-policy.json", local.values)))
  tags        = var.tags
}

resource "aws_iam_role" "operator" {
  name               = var.role_name
  description        = "The HumanGovState operator."
  assume_role_policy = jsonencode(jsondecode(templatefile("${path.module}/../${local.trust}", local.values)))
  tags               = var.tags

  lifecycle {
    precondition {
      condition     = (var.oidc_provider != null) != (var.cluster_arn != null)
      error_message = "Give oidc_provider (IRSA) or cluster_arn (EKS Pod Identity), and not both."
    }
  }
}

resource "aws_iam_role_policy_attachment" "operator" {
  role       = aws_iam_role.operator.name
  policy_arn = aws_iam_policy.operator.arn
}

resource "aws_eks_pod_identity_association" "operator" {
  count = var.cluster_arn != null ? 1 : 0

  cluster_name    = split("/", var.cluster_arn)[1]
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.operator.arn
  tags            = var.tags
}

# The sweep's role: it reads records and erases files, which the operator can't.

resource "aws_iam_policy" "sweep" {
  name        = var.sweep_role_name
  description = "The calls that a sweep makes."
  policy      = jsonencode(jsondecode(templatefile("${path.module}/../sweep-policy.json", local.values)))
  tags        = var.tags
}

resource "aws_iam_role" "sweep" {
  name               = var.sweep_role_name
  description        = "The sweeps of the HumanGovState operator."
  assume_role_policy = jsonencode(jsondecode(templatefile("${path.module}/../${local.sweep_trust}", local.values)))
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "sweep" {
  role       = aws_iam_role.sweep.name
  policy_arn = aws_iam_policy.sweep.arn
}

resource "aws_eks_pod_identity_association" "sweep" {
  count = var.cluster_arn != null ? 1 : 0

  cluster_name    = split("/", var.cluster_arn)[1]
  namespace       = var.namespace
  service_account = var.sweep_service_account
  role_arn        = aws_iam_role.sweep.arn
  tags            = var.tags
}
