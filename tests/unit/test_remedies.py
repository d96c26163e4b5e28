"""Every remedy has been carried out: which test does what a message, or the documentation, says.

A reason whose remedy is an action has a test that brings the state about, does what is said, and sees the tenant Ready,
or gone. A new reason, a new row or a new section with commands fails here until it has one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from sandbox.paths import REPOSITORY

MESSAGES = REPOSITORY / "operator" / "humangov"
OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()

REMEDIES = "aws/test_remedies.py::"
REMOVAL = "aws/test_removal_remedies.py::"

# Reason → the tests that carry its remedies out, under tests/.
REASONS: Mapping[str, tuple[str, ...]] = {
    "AccessDenied": (
        f"{REMEDIES}test_refused_aws_call_works_once_the_remedy_of_its_message_is_carried_out",
        "aws/test_waiting.py::test_access_denied_is_reported_while_the_other_steps_continue_and_it_recovers_automatically",
    ),
    "AccessUnknown": (
        "aws/test_identifying_drift.py::test_more_aliases_and_versions_than_are_read_are_reported",
        "aws/test_identifying_drift.py::test_missing_permission_to_read_who_may_invoke_is_named_and_other_drift_is_corrected",
    ),
    "BucketNotFound": (
        "aws/test_waiting.py::test_missing_table_or_bucket_stalls_after_15_minutes_and_is_still_retried",
        f"{REMEDIES}test_missing_table_or_bucket_with_a_wrong_name_is_corrected_by_a_new_manifest",
    ),
    "Conflict": (
        "aws/test_ownership.py::test_younger_of_two_tenants_with_one_table_waits_until_the_older_is_deleted",
        f"{REMEDIES}test_conflict_ends_when_the_younger_is_deleted_too",
    ),
    "ConfigurationUnknown": (
        f"{REMEDIES}test_function_is_known_again_once_nothing_takes_fields_out_of_lambdas_answers",
    ),
    "DependencyNotReady": (
        "aws/test_waiting.py::test_missing_bucket_requeues_and_nothing_is_created_before_it_exists",
    ),
    "Disabled": (f"{REMEDIES}test_disabled_trigger_is_enabled_again",),
    "DriftReturns": (
        "aws/test_returning_drift.py::test_drift_that_no_longer_returns_leaves_no_trace",
        f"{REMEDIES}test_drift_that_returns_is_left_alone_once_the_tenant_is_suspended",
    ),
    "EnvironmentUnreadable": (
        "aws/test_identifying_drift.py::test_environment_that_cannot_be_read_is_reported_and_not_written_over",
        f"{REMEDIES}test_environment_is_read_again_once_the_key_is_removed_from_the_function",
    ),
    "ErasureFailed": (
        "sweep/test_cap.py::test_files_that_a_sweep_was_denied_are_erased_by_the_next_once_permission_is_granted",
    ),
    "ErasureLimit": (
        "aws/test_erasure_limit.py::test_approval_lets_the_tenant_go_on_with_new_environments_of_the_function",
    ),
    "FailuresBucketNotFound": (
        f"{REMEDIES}test_missing_failures_bucket_is_no_warning_after_each_remedy_of_its_message",
    ),
    "FilesShared": (
        "aws/test_sweeps.py::test_shared_file_names_disable_the_trigger_until_a_sweep_finds_none",
        f"{REMEDIES}test_tenant_with_shared_files_is_re_created_with_shared_file_names",
    ),
    "FiltersUnreadable": (
        "aws/test_ways_out.py::test_filters_that_cannot_be_read_are_reported_and_not_written_over",
        "aws/test_ways_out.py::test_filters_that_only_a_listing_hides_are_compared_and_lose_their_key",
    ),
    "FunctionFailed": (
        f"{REMEDIES}test_function_that_lambda_failed_to_set_up_is_created_again_once_it_is_deleted",
    ),
    "FunctionFailing": (
        "aws/test_ready_is_what_works.py::test_failing_function_stays_reported_until_cloudwatch_shows_success_also_after_a_restart",
    ),
    "IdentityChanged": (
        "aws/test_ownership.py::test_changed_identity_stalls_without_any_write",
        f"{REMEDIES}test_operator_with_its_former_identity_again_goes_on",
    ),
    "OtherCluster": (
        "aws/test_clusters_of_one_name.py::test_documented_move_takes_everything_over_and_the_former_cluster_changes_nothing_more",
        "aws/test_clusters_of_one_name.py::test_deletion_in_the_second_cluster_leaves_what_is_the_firsts",
        "aws/test_clusters_of_one_name.py::test_uid_that_cannot_be_read_leaves_what_the_status_says_and_takes_nothing_else",
    ),
    "InvalidSpec": (f"{REMEDIES}test_manifest_that_an_older_definition_let_through_is_corrected",),
    "LegalHold": ("aws/test_legal_hold.py::test_deletion_of_a_held_tenant_waits_and_says_so",),
    "NotAllowed": (
        f"{REMEDIES}test_name_that_is_not_allowed_is_used_once_the_administrator_allows_it",
        f"{REMEDIES}test_name_that_is_not_allowed_is_corrected",
    ),
    "NotOwned": (
        f"{REMEDIES}test_resource_of_another_is_replaced_once_it_is_deleted",
        f"{REMEDIES}test_resource_of_another_is_avoided_by_another_function_name_in_a_new_manifest",
        f"{REMEDIES}test_cron_job_of_another_is_replaced_once_it_is_deleted",
        "aws/test_adoption.py::test_adoption_takes_ownership_of_the_walkthroughs_function_and_trigger_and_corrects_drift",
    ),
    "OldImagesOnly": (f"{REMEDIES}test_stream_of_old_images_only_is_enabled_with_both_once_it_is_disabled",),
    "RedriveNeeded": ("e2e/test_redrive.py::test_failed_invocations_are_reported_redriven_and_proven_by_receipts",),
    "ReceiptsMasked": (
        "aws/test_ways_out.py::test_masked_receipts_are_reported_until_the_data_protection_policy_is_removed",
    ),
    "ReceiptsSentElsewhere": (
        "aws/test_ways_out.py::test_second_subscription_filter_is_reported_too_and_a_removed_one_no_longer",
    ),
    "RegionMismatch": (f"{REMEDIES}test_bucket_in_another_region_is_corrected_by_a_new_manifest",),
    "RoleNotAssumable": (
        "aws/test_waiting.py::test_role_not_yet_assumable_by_lambda_is_retried_and_stalls_after_minutes",
    ),
    "SafetyCheckFailed": (
        "sweep/test_advice.py::test_doing_what_a_failed_safety_check_says_lets_the_next_sweep_go_on",
    ),
    "ScheduleRefused": (
        "aws/test_sweeps.py::test_schedule_on_which_no_sweep_can_run_stalls_and_leaves_the_cron_job",
        "aws/test_sweeps.py::test_cron_job_that_the_api_server_refuses_stalls_with_its_words",
    ),
    "SchedulingFailed": (f"{REMEDIES}test_cron_job_that_could_not_be_created_is_there_once_it_is_granted",),
    "Stopped": ("aws/test_stop.py::test_after_a_stop_the_declared_concurrency_and_trigger_come_back",),
    "StoppedForLong": ("aws/test_stop.py::test_after_a_stop_the_declared_concurrency_and_trigger_come_back",),
    "Stopping": ("aws/test_stop.py::test_a_stop_that_fails_is_retried_by_its_own_queue_until_it_is_done",),
    "RecordsLost": (
        "aws/test_lost_records.py::test_lost_records_stay_reported_after_a_restart_until_a_later_sweep_has_succeeded",
    ),
    "RecordsNotDelivered": (
        "aws/test_records_not_delivered.py::test_trigger_that_is_deleted_as_the_remedy_says_is_created_again_and_given_time",
    ),
    "StreamLagging": ("aws/test_delivery.py::test_stream_lag_is_warned_about_once_and_its_end_is_reported",),
    "RecordsExpiring": ("aws/test_delivery.py::test_stream_lag_is_warned_about_once_and_its_end_is_reported",),
    "Suspended": (f"{REMEDIES}test_suspended_tenant_goes_on_when_it_is_no_longer_suspended",),
    "SweepFailed": (f"{REMEDIES}test_sweep_that_failed_is_no_warning_once_the_next_one_has_completed",),
    "TableNotFound": (
        "aws/test_waiting.py::test_missing_table_or_bucket_stalls_after_15_minutes_and_is_still_retried",
        f"{REMEDIES}test_missing_table_or_bucket_with_a_wrong_name_is_corrected_by_a_new_manifest",
    ),
    "TableUnavailable": (f"{REMEDIES}test_table_that_is_unavailable_is_used_once_it_is_active_again",),
    "TerminalError": (
        f"{REMEDIES}test_refused_aws_call_works_once_the_remedy_of_its_message_is_carried_out",
        f"{REMOVAL}test_log_group_with_deletion_protection_is_freed_by_each_remedy_of_the_message",
        f"{REMOVAL}test_value_that_aws_refuses_while_removing_is_freed_by_retain",
    ),
    "TriggerDisabled": (f"{REMEDIES}test_disabled_trigger_is_enabled_again",),
    "TriggerProblem": ("aws/test_ready_is_what_works.py::test_ready_returns_when_lambda_reports_no_problem_any_more",),
    "UnownedTrigger": (
        f"{REMEDIES}test_deletion_goes_on_once_the_mapping_of_another_is_deleted",
        "e2e/test_end.py::test_retain_completes_a_stalled_deletion",
    ),
    "UnsupportedViewType": (
        f"{REMEDIES}test_stream_without_old_images_is_usable_after_each_remedy_of_its_message",
    ),
}  # fmt: skip

# What asks for no more than to wait, or to look.
NO_ACTION = re.compile(r"nothing|wait|see \[limits\]|look at")


def reasons_in_code() -> Iterator[str]:
    """First arguments of Finding.action_required that are written out."""
    for path in sorted(MESSAGES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "action_required"
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value)


def reasons_in_documentation() -> Iterator[str]:
    """Those of the table Reasons whose last column asks for something."""
    table = OPERATIONS.split("\n## Reasons\n")[1].split("\n## ")[0]
    for reason, remedy in re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", table, re.M):
        if not NO_ACTION.match(remedy):
            yield reason


def test_each_reason_that_requires_action_has_a_test_that_carries_its_remedy_out() -> None:
    told = {*reasons_in_code(), *reasons_in_documentation()}
    assert len(told) > 30, told
    assert sorted(told - set(REASONS)) == [], "write a test that does what the message says"


def test_each_reason_in_the_inventory_is_documented() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", OPERATIONS, re.M))
    assert sorted(set(REASONS) - documented) == []


# Section of docs/operations.md with commands → the tests that carry them, or what they do, out.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Approve an orphan list": (
        "e2e/test_sweep.py::test_sweep_reports_121_orphans_of_1210_files_and_the_second_erases_exactly_them_once_approved",
    ),
    "At a glance": ("e2e/test_plan.py::test_plan_shows_creations_of_a_new_tenant_nothing_in_sync_and_drift",),
    "Claims": ("sweep/test_advice.py::test_doing_what_a_failed_safety_check_says_lets_the_next_sweep_go_on",),
    "Delete or release": (
        "e2e/test_end.py::test_deletion_leaves_only_the_table_the_bucket_and_their_contents",
        "e2e/test_end.py::test_retain_releases_all_resources_and_they_keep_working",
    ),
    "Failed invocations": (
        "e2e/test_redrive.py::test_failed_invocations_are_reported_redriven_and_proven_by_receipts",
        "aws/test_redrive.py::test_redrive_command_handles_a_mapping_that_the_caller_names",
    ),
    "Leader election": ("e2e/test_replicas.py::test_killed_leader_is_succeeded_by_one_of_two_standbys_during_work",),
    "Leaked AWS resources": (
        "e2e/test_leaks.py::test_leaked_tenant_is_reported_by_the_operator_and_removed_by_the_command",
    ),
    "Legal hold": ("aws/test_legal_hold.py::test_end_of_a_hold_starts_one_sweep_that_redrives_what_it_kept",),
    "Receipts": ("aws/test_redrive.py::test_redrive_receipts_are_found_by_record",),
    "Reconcile now": (
        "aws/test_drift.py::test_drift_in_rarely_read_fields_is_corrected_at_once_after_the_reconcile_annotation",
    ),
    "Stop": ("e2e/test_stop.py::test_a_stop_is_confirmed_and_after_the_start_what_was_deleted_meanwhile_is_erased",),
    "Sweeps": ("aws/test_sweeps.py::test_each_value_of_the_sweep_annotation_starts_one_job",),
    "When sweeps run": (
        "e2e/test_schedule.py::test_sweeps_take_turns_also_those_of_the_schedule_and_the_operator_forgets_none_at_a_restart",
    ),
    "The function's code after an upgrade": (
        "aws/test_code_rollout.py::test_person_gives_stopped_code_another_try",
        "e2e/test_fifty.py::test_fifty_states_applied_at_once_become_ready_survive_broken_code_and_are_deleted",
    ),
    "Uninstall": (
        "e2e/test_end.py::test_tenants_of_a_deleted_operator_namespace_are_freed_by_an_operator_elsewhere",
    ),
}  # fmt: skip


def sections_with_commands() -> Iterator[str]:
    for section in re.split(r"^#{2,3} ", OPERATIONS, flags=re.M)[1:]:
        if "\n```bash\n" in section:
            yield section.split("\n")[0]


def test_commands_of_each_section_are_carried_out_by_a_test() -> None:
    assert sorted(sections_with_commands()) == sorted(SECTIONS)


@pytest.mark.parametrize("named", sorted({one for tests in (*REASONS.values(), *SECTIONS.values()) for one in tests}))
def test_test_that_carries_a_remedy_out_exists(named: str) -> None:
    path, _, function = named.partition("::")
    tree = ast.parse((REPOSITORY / "tests" / path).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
