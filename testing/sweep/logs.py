"""CloudWatch Logs as a sweep asks it: what is put is kept, line by line.

In place of one log group. It can't show limits, or a stream that is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from testing.sweep.reply import Reply
from testing.sweep.tenant_data import TenantData


def create_log_stream(_data: TenantData, _params: Mapping[str, Any]) -> Reply:
    return Reply(200, {})


def put_log_events(data: TenantData, params: Mapping[str, Any]) -> Reply:
    data.log += [json.loads(one["message"]) for one in params["logEvents"]]
    return Reply(200, {})
