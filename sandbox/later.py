"""A layer of the proxy that moves S3's clock, for what waits for days: sweeps judge the age of files by it."""

from __future__ import annotations

import time
from email.utils import formatdate

from multidict import CIMultiDict

from sandbox.proxy import Handler, Layer, Request, Response


class LaterLayer:
    """S3's clock, so many seconds on: in the Date of its answers, as a client can see it.

    DynamoDB keeps its own: a reader of a stream compares the Date with the times of its records.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __call__(self, request: Request, handler: Handler) -> Response:
        answer = await handler(request)
        if request.operation.service != "s3":
            return answer
        headers = CIMultiDict(answer.headers)
        headers["Date"] = formatdate(time.time() + self.seconds, usegmt=True)
        return Response(status=answer.status, headers=headers, body=answer.body)

    @property
    def layer(self) -> Layer:
        return self
