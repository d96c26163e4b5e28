"""CloudWatch Logs as a sweep asks it: what is put is kept, line by line.

In place of one log group. It can't show limits, or a stream that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testing.sweep.reply import Reply
from testing.sweep.tenant_data import TenantData


def create_log_stream(data: TenantData, params: Mapping[str, Any]) -> Reply:
    data.log_streams[params["logStreamName"]] = []
    return Reply(200, {})


def put_log_events(data: TenantData, params: Mapping[str, Any]) -> Reply:
    data.log_streams[params["logStreamName"]] += [one["message"] for one in params["logEvents"]]
    return Reply(200, {})
