output "role_arn" {
  description = "The operator's role. IRSA: annotation eks.amazonaws.com/role-arn of the service account."
  value       = aws_iam_role.operator.arn
}

output "boundary_arn" {
  description = "For --permissions-boundary, the chart's value permissionsBoundary."
  value       = aws_iam_policy.boundary.arn
}
