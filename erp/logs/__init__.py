"""Structured logs: one format for every record, a request id on each line, personal data masked."""

from erp.logs.setup import configure
from erp.logs.tracing import RequestIdMiddleware, bind, current_request_id, current_traceparent

__all__ = [
    "RequestIdMiddleware",
    "bind",
    "configure",
    "current_request_id",
    "current_traceparent",
]
