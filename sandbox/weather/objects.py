"""What Lambda, IAM and DynamoDB take their time for: learned from answers, shown in those that follow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.weather.answers import Refusal
from sandbox.weather.calls import WeatherCall, function_name
from sandbox.weather.forecasts import Forecast
from sandbox.weather.refusals import in_use

ITSELF = ""
"""In what is shown: the object that the answer is about, rather than one of those that it lists."""
_LEARNED_FROM = {
    "iam:CreateRole", "iam:DeleteRole", "iam:PutRolePolicy", "lambda:CreateFunction", "lambda:UpdateFunctionCode",
    "lambda:UpdateFunctionConfiguration", "lambda:DeleteFunction", "lambda:GetFunction",
    "lambda:GetFunctionConfiguration", "lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping",
    "lambda:DeleteEventSourceMapping", "lambda:GetEventSourceMapping", "lambda:ListEventSourceMappings",
    "dynamodb:CreateTable", "dynamodb:UpdateTable", "dynamodb:DescribeTable", "dynamodb:DeleteTable",
}  # fmt: skip
_UPDATES = ("lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:PublishVersion")
_ON = ("Enabled", "Enabling", "Creating", "Updating")


@dataclass
class _Function:
    role: str = ""
    pending_until: float = 0.0
    updating_until: float = 0.0


@dataclass
class _Mapping:
    name: str
    """The function's name and the number of its mapping: a UUID differs from run to run."""
    function: str
    document: dict[str, Any]
    """As the emulator told it last."""
    state: str = ""
    until: float = 0.0

    def now(self, at: float) -> str:
        """The state it is shown in; empty: the one it has."""
        return self.state if at < self.until else ""


@dataclass
class Objects:
    """Of one account. Seconds are those of the caller's clock; nothing here asks for the time."""

    forecast: Forecast
    _roles: dict[str, float] = field(default_factory=dict)
    _policies: dict[str, float] = field(default_factory=dict)
    _functions: dict[str, _Function] = field(default_factory=dict)
    _mappings: dict[str, _Mapping] = field(default_factory=dict)
    _counted: Counter[str] = field(default_factory=Counter)
    _streams: dict[str, bool] = field(default_factory=dict)

    def target(self, call: WeatherCall) -> str:
        """The call's target, under a name that a second run gives it as well."""
        mapping = self._mappings.get(call.target)
        return mapping.name if mapping else call.target

    def refusal(self, call: WeatherCall, *, at: float) -> Refusal | None:
        """What AWS refuses in the state that the objects are in."""
        match str(call.operation):
            case "lambda:CreateFunction" | "lambda:UpdateFunctionConfiguration":
                role = _role_name(call.parameters.get("Role"))
                if at < self._roles.get(role, 0.0):
                    return _invalid("The role defined for the function cannot be assumed by Lambda.")
                return self._busy_function(call, at=at)
            case "lambda:UpdateFunctionCode" | "lambda:PublishVersion":
                return self._busy_function(call, at=at)
            case "lambda:CreateEventSourceMapping":
                return self._duplicate(call) or self._powerless(call, at=at)
            case "lambda:UpdateEventSourceMapping" | "lambda:DeleteEventSourceMapping":
                mapping = self._mappings.get(call.target)
                if mapping is not None and mapping.now(at):
                    return in_use("update" if call.operation.name.startswith("Update") else "delete")
            case "dynamodb:UpdateTable":
                return self._stream(call)
        return None

    def shown(self, call: WeatherCall, *, at: float) -> dict[str, str]:
        """What is to be shown in the answer: an object's name (ITSELF for the one asked for) → its state."""
        match str(call.operation):
            case "lambda:CreateFunction" if self.forecast.pending_seconds:
                return {ITSELF: "Pending"}
            case "lambda:UpdateFunctionCode" | "lambda:UpdateFunctionConfiguration" if self.forecast.updating_seconds:
                return {ITSELF: "InProgress"}
            case "lambda:GetFunction" | "lambda:GetFunctionConfiguration":
                function = self._functions.get(function_name(call.target))
                if function is not None and at < function.pending_until:
                    return {ITSELF: "Pending"}
                if function is not None and at < function.updating_until:
                    return {ITSELF: "InProgress"}
            case "lambda:CreateEventSourceMapping" if self.forecast.mapping_creating_seconds:
                return {ITSELF: "Creating"}
            case "lambda:UpdateEventSourceMapping" if self.forecast.mapping_updating_seconds:
                return {ITSELF: self._updating(call)}
            case "lambda:DeleteEventSourceMapping" if self.forecast.mapping_deleting_seconds:
                return {ITSELF: "Deleting"}
            case "lambda:GetEventSourceMapping":
                mapping = self._mappings.get(call.target)
                if mapping is not None and mapping.now(at):
                    return {ITSELF: mapping.now(at)}
            case "lambda:ListEventSourceMappings":
                return {
                    one.name: one.now(at)
                    for one in self._mappings.values()
                    if one.now(at) and _listed(one.document, call)
                }
        return {}

    def answered(
        self, call: WeatherCall, *, status: int, body: bytes, shown: Mapping[str, str], share: float, at: float
    ) -> tuple[int, bytes]:
        """Learn from the emulator's answer, and show it as AWS would. `share` of the longest seconds are taken."""
        ghost = self._ghost(call, status=status, shown=shown)
        if ghost is not None:
            return 200, json.dumps(ghost).encode()
        if status >= 300 or not learns_from(call):
            return status, body
        answer = _document(body)
        self._learn(call, answer, share=share, at=at)
        if not shown:
            return status, body
        return status, json.dumps(self._changed(call, answer, shown)).encode()

    def _busy_function(self, call: WeatherCall, *, at: float) -> Refusal | None:
        function = self._functions.get(function_name(call.target))
        if function is None or str(call.operation) not in _UPDATES:
            return None
        if at < function.pending_until:
            why = "The function is currently in the following state: Pending"
        elif at < function.updating_until:
            why = f"An update is in progress for resource: {call.target}"
        else:
            return None
        text = f"The operation cannot be performed at this time. {why}"
        return Refusal(status=409, code="ResourceConflictException", text=text)

    def _duplicate(self, call: WeatherCall) -> Refusal | None:
        function = function_name(str(call.parameters.get("FunctionName") or ""))
        source = call.parameters.get("EventSourceArn")
        for uuid, mapping in self._mappings.items():
            if mapping.function == function and mapping.document.get("EventSourceArn") == source:
                name = mapping.document.get("FunctionArn", function)
                return Refusal(
                    status=409,
                    code="ResourceConflictException",
                    text=(
                        f'The event source arn (" {source} ") and function (" {name} ") provided mapping already '
                        f"exists. Please update or delete the existing mapping with UUID {uuid}"
                    ),
                )
        return None

    def _powerless(self, call: WeatherCall, *, at: float) -> Refusal | None:
        function = self._functions.get(function_name(str(call.parameters.get("FunctionName") or "")))
        if function is None or at >= self._policies.get(function.role, 0.0):
            return None
        return _invalid(
            f"Cannot access stream {call.parameters.get('EventSourceArn')}. Please ensure the role can perform the "
            "GetRecords, GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM."
        )

    def _stream(self, call: WeatherCall) -> Refusal | None:
        wanted = (call.parameters.get("StreamSpecification") or {}).get("StreamEnabled")
        if wanted is None or self._streams.get(call.target) is not wanted:
            return None
        text = "Table already has an enabled stream" if wanted else "Table has no stream to disable"
        return Refusal(status=400, code="ValidationException", text=f"{text}: TableName: {call.target}")

    def _updating(self, call: WeatherCall) -> str:
        mapping = self._mappings.get(call.target)
        wanted = call.parameters.get("Enabled")
        if mapping is None or wanted is None or (mapping.document.get("State") in _ON) is wanted:
            return "Updating"
        return "Enabling" if wanted else "Disabling"

    def _ghost(self, call: WeatherCall, *, status: int, shown: Mapping[str, str]) -> dict[str, Any] | None:
        """A mapping that the emulator has forgotten at once, while AWS still deletes it."""
        if status != 404 or str(call.operation) != "lambda:GetEventSourceMapping" or ITSELF not in shown:
            return None
        mapping = self._mappings.get(call.target)
        return {**mapping.document, "State": shown[ITSELF]} if mapping else None

    def _learn(self, call: WeatherCall, answer: dict[str, Any], *, share: float, at: float) -> None:
        forecast, target = self.forecast, function_name(call.target)
        self._forget(at=at)
        match str(call.operation):
            case "iam:CreateRole":
                self._roles[target] = at + share * forecast.role_seconds
            case "iam:PutRolePolicy":
                self._policies[target] = at + share * forecast.role_seconds
            case "iam:DeleteRole":
                self._roles.pop(target, None)
                self._policies.pop(target, None)
            case "lambda:CreateFunction":
                until = at + share * forecast.pending_seconds
                self._functions[target] = _Function(role=_role_name(answer.get("Role")), pending_until=until)
            case "lambda:UpdateFunctionCode" | "lambda:UpdateFunctionConfiguration":
                function = self._functions.setdefault(target, _Function())
                function.role = _role_name(answer.get("Role"))
                function.updating_until = at + share * forecast.updating_seconds
            case "lambda:GetFunction" | "lambda:GetFunctionConfiguration":
                found = answer.get("Configuration", answer)
                self._functions.setdefault(target, _Function()).role = _role_name(found.get("Role"))
            case "lambda:DeleteFunction":
                self._functions.pop(target, None)
            case "lambda:CreateEventSourceMapping":
                self._moving(answer, "Creating", until=at + share * forecast.mapping_creating_seconds)
            case "lambda:UpdateEventSourceMapping":
                self._moving(answer, self._updating(call), until=at + share * forecast.mapping_updating_seconds)
            case "lambda:DeleteEventSourceMapping":
                self._moving(answer, "Deleting", until=at + share * forecast.mapping_deleting_seconds)
                self._forget(at=at)
            case "lambda:GetEventSourceMapping":
                self._known(answer)
            case "lambda:ListEventSourceMappings":
                for one in answer.get("EventSourceMappings") or ():
                    self._known(one)
            case "dynamodb:CreateTable" | "dynamodb:UpdateTable" | "dynamodb:DescribeTable":
                table = answer.get("Table") or answer.get("TableDescription") or {}
                self._streams[target] = bool((table.get("StreamSpecification") or {}).get("StreamEnabled"))
            case "dynamodb:DeleteTable":
                self._streams.pop(target, None)

    def _forget(self, *, at: float) -> None:
        """What has been deleted, and whose time is over."""
        deleted = [uuid for uuid, one in self._mappings.items() if one.state == "Deleting" and at >= one.until]
        for uuid in deleted:
            del self._mappings[uuid]

    def _known(self, document: dict[str, Any]) -> _Mapping:
        uuid, function = str(document["UUID"]), function_name(str(document.get("FunctionArn") or ""))
        if uuid not in self._mappings:
            self._counted[function] += 1
            name = f"{function}#{self._counted[function]}"
            self._mappings[uuid] = _Mapping(name=name, function=function, document=document)
        self._mappings[uuid].document = document
        return self._mappings[uuid]

    def _moving(self, document: dict[str, Any], state: str, *, until: float) -> None:
        mapping = self._known(document)
        mapping.state, mapping.until = state, until

    def _changed(self, call: WeatherCall, answer: dict[str, Any], shown: Mapping[str, str]) -> dict[str, Any]:
        match call.operation.name:
            case "ListEventSourceMappings":
                listed = answer.get("EventSourceMappings") or []
                there = {str(one["UUID"]) for one in listed}
                ghosts = [
                    one.document
                    for uuid, one in self._mappings.items()
                    if uuid not in there and shown.get(one.name) == "Deleting" and "Marker" not in call.parameters
                ]
                return {**answer, "EventSourceMappings": [self._in_state(one, shown) for one in [*listed, *ghosts]]}
            case "GetFunction":
                return {**answer, "Configuration": _function_in_state(answer["Configuration"], shown[ITSELF])}
            case name if "EventSourceMapping" in name:
                return {**answer, "State": shown[ITSELF]}
        return _function_in_state(answer, shown[ITSELF])

    def _in_state(self, document: dict[str, Any], shown: Mapping[str, str]) -> dict[str, Any]:
        mapping = self._mappings.get(str(document["UUID"]))
        state = shown.get(mapping.name) if mapping else None
        return {**document, "State": state} if state else document


def learns_from(call: WeatherCall) -> bool:
    """Whether the answer to this call is read; any other may be passed on as it comes."""
    return str(call.operation) in _LEARNED_FROM


def _listed(document: Mapping[str, Any], call: WeatherCall) -> bool:
    """Whether a listing's filters let this mapping through."""
    function, source = call.parameters.get("FunctionName"), call.parameters.get("EventSourceArn")
    of = function_name(str(document.get("FunctionArn") or ""))
    return (not function or function_name(str(function)) == of) and source in (None, document.get("EventSourceArn"))


def _function_in_state(configuration: Mapping[str, Any], state: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html"""
    if state == "Pending":
        why = {"StateReason": "The function is being created.", "StateReasonCode": "Creating"}
        return {**configuration, "State": state, **why}
    return {
        **configuration,
        "LastUpdateStatus": state,
        "LastUpdateStatusReason": "The function is being updated.",
        "LastUpdateStatusReasonCode": "Updating",
    }


def _document(body: bytes) -> dict[str, Any]:
    """IAM answers in XML, and what its calls ask for is all that is learned from them."""
    if not body.lstrip().startswith(b"{"):
        return {}
    return dict(json.loads(body))


def _role_name(arn: object) -> str:
    return str(arn or "").rpartition("/")[2]


def _invalid(text: str) -> Refusal:
    return Refusal(status=400, code="InvalidParameterValueException", text=text)
