"""Every call that the operator makes of AWS, by IAM's name of the action; deploy/iam is tested against this list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Method(NamedTuple):
    """The SDK's client and its method for an action, and whether that changes anything."""

    service: str
    name: str
    writes: bool


def _read(service: str, name: str) -> Method:
    return Method(service, name, writes=False)


def _write(service: str, name: str) -> Method:
    return Method(service, name, writes=True)


ACTIONS: Mapping[str, Method] = {
    "sts:GetCallerIdentity": _read("sts", "get_caller_identity"),
    # stream
    "dynamodb:DescribeTable": _read("dynamodb", "describe_table"),
    "dynamodb:DescribeStream": _read("dynamodbstreams", "describe_stream"),
    "dynamodb:ListTagsOfResource": _read("dynamodb", "list_tags_of_resource"),
    "dynamodb:UpdateTable": _write("dynamodb", "update_table"),
    "dynamodb:TagResource": _write("dynamodb", "tag_resource"),
    "dynamodb:UntagResource": _write("dynamodb", "untag_resource"),
    # buckets: never changed; of failed invocations, the keys
    "s3:ListBucket": _read("s3", "list_objects_v2"),
    "s3:GetBucketLocation": _read("s3", "get_bucket_location"),
    "s3:GetBucketVersioning": _read("s3", "get_bucket_versioning"),
    # what else may hold a copy
    "s3:GetReplicationConfiguration": _read("s3", "get_bucket_replication"),
    "s3:GetLifecycleConfiguration": _read("s3", "get_bucket_lifecycle_configuration"),
    "backup:DescribeProtectedResource": _read("backup", "describe_protected_resource"),
    # role
    "iam:GetRole": _read("iam", "get_role"),
    "iam:GetRolePolicy": _read("iam", "get_role_policy"),
    "iam:ListRolePolicies": _read("iam", "list_role_policies"),
    "iam:ListAttachedRolePolicies": _read("iam", "list_attached_role_policies"),
    "iam:CreateRole": _write("iam", "create_role"),
    "iam:UpdateAssumeRolePolicy": _write("iam", "update_assume_role_policy"),
    "iam:PutRolePermissionsBoundary": _write("iam", "put_role_permissions_boundary"),
    "iam:PutRolePolicy": _write("iam", "put_role_policy"),
    "iam:DeleteRolePolicy": _write("iam", "delete_role_policy"),
    "iam:DetachRolePolicy": _write("iam", "detach_role_policy"),
    "iam:TagRole": _write("iam", "tag_role"),
    "iam:UntagRole": _write("iam", "untag_role"),
    "iam:DeleteRole": _write("iam", "delete_role"),
    # log group
    "logs:DescribeLogGroups": _read("logs", "describe_log_groups"),
    "logs:ListTagsForResource": _read("logs", "list_tags_for_resource"),
    "logs:DescribeSubscriptionFilters": _read("logs", "describe_subscription_filters"),
    "logs:CreateLogGroup": _write("logs", "create_log_group"),
    "logs:PutRetentionPolicy": _write("logs", "put_retention_policy"),
    "logs:AssociateKmsKey": _write("logs", "associate_kms_key"),
    "logs:DisassociateKmsKey": _write("logs", "disassociate_kms_key"),
    "logs:TagResource": _write("logs", "tag_resource"),
    "logs:UntagResource": _write("logs", "untag_resource"),
    "logs:DeleteLogGroup": _write("logs", "delete_log_group"),
    # function
    "lambda:GetFunction": _read("lambda", "get_function"),
    "lambda:GetPolicy": _read("lambda", "get_policy"),
    "lambda:ListFunctionUrlConfigs": _read("lambda", "list_function_url_configs"),
    "lambda:ListAliases": _read("lambda", "list_aliases"),
    "lambda:ListVersionsByFunction": _read("lambda", "list_versions_by_function"),
    "lambda:ListFunctionEventInvokeConfigs": _read("lambda", "list_function_event_invoke_configs"),
    "lambda:ListProvisionedConcurrencyConfigs": _read("lambda", "list_provisioned_concurrency_configs"),
    "lambda:GetFunctionCodeSigningConfig": _read("lambda", "get_function_code_signing_config"),
    "lambda:DeleteFunctionEventInvokeConfig": _write("lambda", "delete_function_event_invoke_config"),
    "lambda:DeleteProvisionedConcurrencyConfig": _write("lambda", "delete_provisioned_concurrency_config"),
    "lambda:DeleteFunctionCodeSigningConfig": _write("lambda", "delete_function_code_signing_config"),
    "lambda:RemovePermission": _write("lambda", "remove_permission"),
    "lambda:DeleteFunctionUrlConfig": _write("lambda", "delete_function_url_config"),
    "lambda:CreateFunction": _write("lambda", "create_function"),
    "lambda:UpdateFunctionCode": _write("lambda", "update_function_code"),
    "lambda:UpdateFunctionConfiguration": _write("lambda", "update_function_configuration"),
    "lambda:PutFunctionConcurrency": _write("lambda", "put_function_concurrency"),
    "lambda:DeleteFunctionConcurrency": _write("lambda", "delete_function_concurrency"),
    "lambda:DeleteFunction": _write("lambda", "delete_function"),
    # trigger
    "lambda:ListEventSourceMappings": _read("lambda", "list_event_source_mappings"),
    "lambda:GetEventSourceMapping": _read("lambda", "get_event_source_mapping"),
    "lambda:CreateEventSourceMapping": _write("lambda", "create_event_source_mapping"),
    "lambda:UpdateEventSourceMapping": _write("lambda", "update_event_source_mapping"),
    "lambda:DeleteEventSourceMapping": _write("lambda", "delete_event_source_mapping"),
    # function and trigger
    "lambda:ListTags": _read("lambda", "list_tags"),
    "lambda:TagResource": _write("lambda", "tag_resource"),
    "lambda:UntagResource": _write("lambda", "untag_resource"),
    # stream lag
    "cloudwatch:GetMetricData": _read("cloudwatch", "get_metric_data"),
    # leaked AWS resources, and bulk reads
    "lambda:ListFunctions": _read("lambda", "list_functions"),
    "tag:GetResources": _read("resourcegroupstaggingapi", "get_resources"),
    "iam:ListRoles": _read("iam", "list_roles"),
}
