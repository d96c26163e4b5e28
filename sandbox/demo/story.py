"""The steps, in order. Each shows what it does and returns what was seen; what is not seen raises NotObservedError."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.demo.aws_side import log_group
from sandbox.demo.kubectl import shown
from sandbox.demo.narration import table_lines
from sandbox.demo.people import Employee, State
from sandbox.demo.reporting import the_report
from sandbox.demo.stage import RESOURCE, Stage
from sandbox.demo.sweeping import a_sweep_erases_the_orphan
from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.paths import REPOSITORY

RETENTION_DAYS = 400  # the definition's defaults
TIMEOUT_SECONDS = 300
RECONCILE = "humangov.io/reconcile"


@dataclass(frozen=True)
class Step:
    title: str
    act: Callable[[Stage], str]


def tables_and_buckets(stage: Stage) -> str:
    aws = stage.aws
    stage.narrator.say(
        "HumanGov keeps personnel records for US states. Each state has a DynamoDB table of employees and an S3 "
        "bucket with a PDF for each employee. The record's attribute `pdf` names the file. The application uploads "
        "the file first, then writes the record."
    )
    for state in aws.states:
        aws.create(state)
    account = aws.clients["sts"].get_caller_identity()["Account"]
    stage.narrator.say(f"In AWS account {account}, region {aws.region}:")
    stage.narrator.output("\n".join(_holdings(stage)))
    for state in aws.states:
        _files_are_as_expected(stage, state)
        employees = {employee.id for employee in state.employees}
        stage.observer.require(
            aws.record_ids(state) == employees, expected=f"{len(employees)} records in {state.table}", seen="others"
        )
    files = sum(map(len, aws.files_due.values()))
    return f"{len(aws.states)} tables, {len(aws.states)} buckets, {files} employees with {files} PDFs"


def the_bug(stage: Stage) -> str:
    state = stage.aws.state("california")
    leaver = state.employees[0]
    stage.narrator.say(f"{leaver.name} leaves. The application deletes the record, but not the file:")
    _dismiss(stage, state, leaver)
    stage.aws.files_due[state.name].add(leaver.pdf)  # nobody erases it
    stage.observer.stays(
        lambda: stage.aws.files(state), lambda files: leaver.pdf in files, expected=f"{leaver.pdf} stays in its bucket"
    )
    stage.observer.require(
        leaver.id not in stage.aws.record_ids(state), expected=f"no record {leaver.id} in {state.table}", seen="it"
    )
    stage.narrator.output("\n".join(_listing(stage, state, highlighted=leaver.pdf, note="<- orphan")))
    stage.narrator.say("No record names that file now: it is an orphan, and a breach of contract.")
    return f"the record is deleted, {leaver.pdf} still exists"


def the_operator(stage: Stage) -> str:
    namespace = stage.namespace
    seen = stage.operator.start(stage)
    account = f"--as=system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"
    for verb, resource, allowed in (("patch", "humangovstates", "yes"), ("get", "secrets", "no")):
        answer = stage.kubectl.ask("auth", "can-i", verb, resource, "-n", namespace, account)
        stage.observer.require(answer == allowed, expected=f"{allowed} for {verb} {resource}", seen=answer)
    return seen


def one_manifest_a_state(stage: Stage) -> str:
    first = stage.aws.states[0]
    stage.narrator.say("Each state has one manifest. This is California's:")
    path = f"{stage.manifests.rstrip('/')}/{first.name}.yaml"
    stage.narrator.command(f"cat {path}")
    stage.narrator.output((REPOSITORY / path).read_text())
    begun = time.monotonic()
    stage.kubectl.show("apply", "-f", stage.manifests)
    stage.kubectl.show(
        "wait", "--for=condition=Ready", f"--timeout={stage.observer.seconds:.0f}s", "-n", stage.namespace,
        RESOURCE, "--all",
    )  # fmt: skip
    seconds = time.monotonic() - begun
    stage.kubectl.show("get", RESOURCE, "-n", stage.namespace)
    for state in stage.aws.states:
        _in_sync(stage, state)
    found = stage.aws.inventory()
    stage.narrator.say("AWS resources now:")
    stage.narrator.output("\n".join(_inventory_lines(found)))
    each = len(stage.aws.states)
    for kind in found:
        stage.observer.require(len(found[kind]) == each, expected=f"{each} {kind}", seen=found[kind])
    return (
        f"{each} states Ready {seconds:.1f} s after kubectl apply: stream, role, log group, function and trigger each"
    )


def a_file_is_erased(stage: Stage) -> str:
    state = stage.aws.state("california")
    leaver = state.employees[1]
    stage.narrator.say(f"{leaver.name} leaves too. The application deletes the record as before:")
    milliseconds = _dismiss_and_see_erased(stage, state, leaver)
    stage.narrator.output("\n".join(_listing(stage, state)))
    stage.narrator.say(
        f"{leaver.pdf} is erased. The orphan of step 3 still exists: its record was deleted before the stream was "
        "enabled, so there is no stream record of it. Only a sweep finds it."
    )
    return f"the PDF was erased {milliseconds} ms after the record was deleted"


def the_receipt(stage: Stage) -> str:
    state = stage.aws.state("california")
    leaver = state.employees[1]
    name = log_group(state)
    stage.narrator.by_hand("logs", "filter_log_events", {"logGroupName": name})
    lines = stage.observer.until(
        lambda: stage.aws.receipts(state, leaver),
        lambda found: {line["receipt"] for line in found} == {"intent", "outcome"},
        expected=f"an intent and an outcome for {leaver.pdf} in log group {name}",
    )
    stage.narrator.say(
        "A receipt is two lines with the same event ID: the intent before the erasure, then the outcome."
    )
    for line in lines:
        stage.narrator.output(json.dumps(line))
    outcome = lines[-1]
    stage.observer.require(outcome.get("outcome") == "erased", expected="outcome: erased", seen=outcome)
    return f"the receipt says: erased at {outcome['erased_at']}"


def nothing_else_was_touched(stage: Stage) -> str:
    for state in stage.aws.states:
        _files_are_as_expected(stage, state)
    stage.narrator.output("\n".join(_holdings(stage)))
    files = sum(map(len, stage.aws.files_due.values()))
    return f"the other {files} PDFs all exist"


def re_created_record(stage: Stage) -> str:
    state = stage.aws.state("florida")
    back, leaver = state.employees[0], state.employees[1]
    stage.narrator.say(
        "A record is deleted and written again before its event is handled, for example by an import. The file must "
        "stay. An event is usually handled within milliseconds, so the demo disables the trigger first: the record is "
        "written again before the function receives the event."
    )
    _switch(stage, state, enabled=False)
    stage.by_hand("dynamodb", "delete_item", TableName=state.table, Key={"id": {"S": back.id}})
    stage.by_hand("dynamodb", "put_item", TableName=state.table, Item=back.item)
    stage.narrator.say(
        f"Then {leaver.name}'s record is deleted and not written again. Once its file is erased, both events are done."
    )
    _dismiss(stage, state, leaver)
    _switch(stage, state, enabled=True)
    _erased(stage, state, leaver)
    outcomes = stage.observer.until(
        lambda: stage.aws.outcomes(state, back), lambda found: bool(found), expected=f"an outcome for {back.pdf}"
    )
    stage.observer.require(outcomes == ["kept: live"], expected="one outcome, kept: live", seen=outcomes)
    _files_are_as_expected(stage, state)
    stage.narrator.output(json.dumps(stage.aws.receipts(state, back)[-1]))
    stage.narrator.say(
        "Before it erases a file, the function reads the record again. This record still names its file."
    )
    return f"{back.pdf} was kept (receipt: kept: live), {leaver.pdf} was erased"


def drift(stage: Stage) -> str:
    state = stage.aws.state("california")
    leaver, aws = state.employees[2], stage.aws
    stage.narrator.say("Someone changes AWS resources by hand:")
    uuid = aws.mappings(state)[0]["UUID"]
    stage.by_hand("logs", "put_retention_policy", logGroupName=log_group(state), retentionInDays=1)
    stage.by_hand("lambda", "update_function_configuration", FunctionName=state.function, Timeout=3)
    stage.by_hand("lambda", "update_event_source_mapping", UUID=uuid, Enabled=False)
    stage.observer.until(
        lambda: (aws.log_group_retention_days(state), aws.timeout_seconds(state), aws.trigger_states(state)),
        lambda found: found == (1, 3, ["Disabled"]),
        expected="receipts for a day, a timeout of 3 s, and a disabled trigger",
    )
    stage.observer.until(
        lambda: aws.function_is_settled(state), lambda settled: settled, expected="the function's update to end"
    )
    stage.narrator.say(
        "The operator reconciles every 10 minutes and would correct this drift then. An annotation starts a "
        "reconciliation at once:"
    )
    name = state.manifest["metadata"]["name"]
    token = f"demo-{time.time_ns()}"
    begun = time.monotonic()
    stage.kubectl.show("annotate", "-n", stage.namespace, RESOURCE, name, f"{RECONCILE}={token}", "--overwrite")
    stage.observer.until(
        lambda: (aws.log_group_retention_days(state), aws.timeout_seconds(state), aws.trigger_states(state)),
        lambda found: found == (RETENTION_DAYS, TIMEOUT_SECONDS, ["Enabled"]),
        expected=f"the log group ({RETENTION_DAYS} days), the timeout ({TIMEOUT_SECONDS} s) and the trigger corrected",
    )
    seconds = time.monotonic() - begun
    stage.observer.until(
        lambda: _status(stage, state).get("lastHandledReconcile"),
        lambda handled: handled == token,
        expected=f"the annotation's value {token} echoed in status.lastHandledReconcile",
    )
    stage.observer.until(
        lambda: _events(stage, state, reason="DriftCorrected"), lambda found: bool(found), expected="DriftCorrected"
    )
    stage.kubectl.show(
        "get", "events", "-n", stage.namespace, "--field-selector=reason=DriftCorrected",
        "-o=custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message",
    )  # fmt: skip
    _in_sync(stage, state)
    stage.narrator.say("The cleanup works again:")
    milliseconds = _dismiss_and_see_erased(stage, state, leaver)
    return f"the operator corrected all drift in {seconds:.1f} s; the next file was erased after {milliseconds} ms"


def a_disabled_trigger(stage: Stage) -> str:
    state = stage.aws.state("staging")
    leaver = state.employees[0]
    stage.narrator.say("Staging's manifest disables the trigger, and no file is erased: spec.trigger.enabled is false.")
    _switch(stage, state, enabled=False)
    stage.kubectl.show("get", RESOURCE, "-n", stage.namespace)
    _dismiss(stage, state, leaver)
    stage.aws.files_due[state.name].add(leaver.pdf)
    stage.observer.stays(
        lambda: stage.aws.files(state), lambda files: leaver.pdf in files, expected=f"{leaver.pdf} stays in its bucket"
    )
    stage.narrator.say(
        f"{leaver.pdf} stays. The stream keeps records for 24 hours: if the trigger is enabled again within that time, "
        "no record is lost."
    )
    stage.aws.files_due[state.name].discard(leaver.pdf)
    _switch(stage, state, enabled=True)
    _erased(stage, state, leaver)
    _files_are_as_expected(stage, state)
    return f"{leaver.pdf} stayed while the trigger was disabled, and was erased after it was enabled"


def nothing_is_left(stage: Stage) -> str:
    aws, narrator = stage.aws, stage.narrator
    records = {state.name: aws.record_ids(state) for state in aws.states}
    begun = time.monotonic()
    stage.kubectl.show("delete", "-f", stage.manifests, f"--timeout={stage.observer.seconds:.0f}s")
    seconds = time.monotonic() - begun
    narrator.command(shown("kubectl", "get", RESOURCE, "-n", stage.namespace))
    left = stage.kubectl.run("get", RESOURCE, "-n", stage.namespace, "-o", "name")
    narrator.output(left or f"No resources found in {stage.namespace} namespace.")
    stage.observer.require(not left, expected="no HumanGovState", seen=left)
    found = aws.inventory()
    narrator.say("AWS resources of the operator now:")
    narrator.output("\n".join(_inventory_lines(found)))
    stage.observer.require(not any(found.values()), expected="nothing in AWS", seen=found)
    narrator.say("The operator never deletes these, nor what sweeps have written under .humangov/ in the buckets:")
    narrator.output("\n".join(_holdings(stage)))
    for state in aws.states:
        _files_are_as_expected(stage, state)
        stage.observer.require(
            aws.record_ids(state) == records[state.name], expected=f"the same records in {state.table}", seen="others"
        )
    return f"deleted in {seconds:.1f} s: no role, function, trigger, log group, stream or tag remains"


STORY: Sequence[Step] = (
    Step("Three states of the application", tables_and_buckets),
    Step("The bug: a record is deleted, its PDF stays", the_bug),
    Step("The operator starts, with only its own service account's permissions", the_operator),
    Step("One manifest per state: kubectl apply", one_manifest_a_state),
    Step("A record is deleted, its PDF is erased", a_file_is_erased),
    Step("The receipt, in CloudWatch Logs", the_receipt),
    Step("No other file was erased", nothing_else_was_touched),
    Step("A sweep finds the orphan, a person approves its erasure", a_sweep_erases_the_orphan),
    Step("A record that is written again keeps its file", re_created_record),
    Step("Drift is corrected", drift),
    Step("A disabled trigger erases nothing", a_disabled_trigger),
    Step("A report of everything that happened", the_report),
    Step("kubectl delete, and nothing remains", nothing_is_left),
)


def _dismiss(stage: Stage, state: State, employee: Employee) -> float:
    """Delete the record, as the application does; when the answer was there (monotonic seconds)."""
    stage.aws.files_due[state.name].discard(employee.pdf)
    return stage.by_hand("dynamodb", "delete_item", TableName=state.table, Key={"id": {"S": employee.id}})


def _erased(stage: Stage, state: State, employee: Employee) -> float:
    """See the file gone; when (monotonic seconds)."""
    stage.observer.until(
        lambda: stage.aws.files(state),
        lambda files: employee.pdf not in files,
        expected=f"{employee.pdf} erased from {state.bucket}",
        every=0.01,
    )
    return time.monotonic()


def _dismiss_and_see_erased(stage: Stage, state: State, employee: Employee) -> int:
    """Milliseconds from DeleteItem's answer to the file's absence from the bucket's listing."""
    deleted = _dismiss(stage, state, employee)
    milliseconds = round((_erased(stage, state, employee) - deleted) * 1000)
    _files_are_as_expected(stage, state)
    return milliseconds


def _files_are_as_expected(stage: Stage, state: State) -> None:
    due, files = stage.aws.files_due[state.name], stage.aws.files(state)
    stage.observer.require(files == due, expected=f"in {state.bucket} exactly {sorted(due)}", seen=sorted(files))


def _switch(stage: Stage, state: State, *, enabled: bool) -> None:
    """Set spec.trigger.enabled, and observe the change in AWS and in the status."""
    patch = json.dumps({"spec": {"trigger": {"enabled": enabled}}})
    name = state.manifest["metadata"]["name"]
    stage.kubectl.show("patch", "-n", stage.namespace, RESOURCE, name, "--type=merge", "-p", patch)
    wanted = "Enabled" if enabled else "Disabled"
    stage.observer.until(
        lambda: stage.aws.trigger_states(state), lambda found: found == [wanted], expected=f"one trigger, {wanted}"
    )
    stage.observer.until(
        lambda: _condition(stage, state, "TriggerReady").get("reason"),
        lambda reason: reason == wanted,
        expected=f"condition TriggerReady with reason {wanted}",
    )


def _in_sync(stage: Stage, state: State) -> None:
    """Ready, and every AWS resource as declared."""
    aws = stage.aws
    stage.observer.until(
        lambda: _condition(stage, state, "Ready").get("status"), lambda found: found == "True", expected="Ready: True"
    )
    stage.observer.until(
        lambda: (
            aws.stream_enabled(state), aws.log_group_retention_days(state), aws.timeout_seconds(state),
            aws.trigger_states(state),
        ),
        lambda found: found == (True, RETENTION_DAYS, TIMEOUT_SECONDS, ["Enabled"]),
        expected=f"{state.name}: stream enabled, log group {RETENTION_DAYS} days, timeout {TIMEOUT_SECONDS} s, "
        "trigger enabled",
    )  # fmt: skip


def _status(stage: Stage, state: State) -> dict[str, Any]:
    name = state.manifest["metadata"]["name"]
    return dict(stage.kubectl.read("get", RESOURCE, name, "-n", stage.namespace).get("status") or {})


def _condition(stage: Stage, state: State, kind: str) -> dict[str, Any]:
    """One condition, if it is about the present generation; else nothing."""
    resource = stage.kubectl.read("get", RESOURCE, state.manifest["metadata"]["name"], "-n", stage.namespace)
    conditions = (resource.get("status") or {}).get("conditions") or []
    generation = resource["metadata"]["generation"]
    return next(
        (dict(one) for one in conditions if one["type"] == kind and one["observedGeneration"] == generation), {}
    )


def _events(stage: Stage, state: State, *, reason: str) -> list[str]:
    name = state.manifest["metadata"]["name"]
    selector = f"--field-selector=reason={reason},involvedObject.name={name}"
    return [one["message"] for one in stage.kubectl.read("get", "events", "-n", stage.namespace, selector)["items"]]


def _holdings(stage: Stage) -> list[str]:
    """What the application has in each state."""
    aws = stage.aws
    rows = [
        (state.name, state.table, len(aws.record_ids(state)), state.bucket, len(aws.files(state)))
        for state in aws.states
    ]
    return table_lines(("STATE", "TABLE", "RECORDS", "BUCKET", "PDFS"), rows)


def _listing(stage: Stage, state: State, *, highlighted: str = "", note: str = "") -> list[str]:
    """s3://bucket/key for each file."""
    files = sorted(stage.aws.files(state))
    return [f"s3://{state.bucket}/{key}{f'   {note}' if key == highlighted else ''}" for key in files]


def _inventory_lines(found: dict[str, list[str]]) -> list[str]:
    return [f"{kind + ':':<16} {', '.join(names) or 'none'}" for kind, names in found.items()]
