output "role_arn" {
  description = "The operator's role. IRSA: annotation eks.amazonaws.com/role-arn of the service account."
  value       = aws_iam_role.all["operator"].arn
}

output "boundary_arn" {
  description = "For --permissions-boundary, the chart's value permissionsBoundary."
  value       = aws_iam_policy.boundary.arn
}

output "sweep_role_arn" {
  description = "The sweeps' role. IRSA: annotation eks.amazonaws.com/role-arn of their service account."
  value       = aws_iam_role.all["sweep"].arn
}

output "report_role_arn" {
  description = "The role of reports and checkpoints. IRSA: annotation eks.amazonaws.com/role-arn of their service account."
  value       = aws_iam_role.all["report"].arn
}
