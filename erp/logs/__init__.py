"""Structured logs: one format for every record, a request id on each line, personal data masked.

Configured once, by ``config.logging``. ``mask_text`` and ``mask`` also mask errors that are stored
elsewhere, such as ``last_error`` columns.
"""

from erp.logs.checks import check_masking, masking_faults, register_checks
from erp.logs.masking import mask, mask_text
from erp.logs.setup import configure
from erp.logs.tracing import RequestIdMiddleware, bind, current_request_id, current_traceparent

__all__ = [
    "RequestIdMiddleware",
    "bind",
    "check_masking",
    "configure",
    "current_request_id",
    "current_traceparent",
    "mask",
    "mask_text",
    "masking_faults",
    "register_checks",
]
