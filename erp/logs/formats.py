"""How a record becomes a line: tidied, its traceback rendered, masked, written as JSON or for people."""

import json
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from erp.logs.masking import FAILURES, masking_processor, withheld
from erp.logs.patterns import statement
from erp.logs.tracing import TRACEPARENT

Renderer = Callable[[Any, str, Any], str]

# Added to every record.
COMMON: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """The formatter of every handler. Masking comes last before the renderer and can't be left out."""

    def __init__(self, machine_readable: bool = True) -> None:
        """``machine_readable``: JSON as Google Cloud Logging reads it; otherwise lines for people."""
        self.renderer: Renderer = GoogleCloud() if machine_readable else _for_people()
        super().__init__(
            foreign_pre_chain=[*COMMON, structlog.stdlib.ExtraAdder()],
            processors=[
                _tidy,
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                masking_processor,
                self.renderer,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        """The line; the fixed notice when it can't be made (a broken format string, a failing repr)."""
        try:
            return super().format(record)
        except Exception:  # whatever went wrong, the raw record must not pass
            FAILURES.inc()
            return str(self.renderer(None, "error", withheld(record.name)))

    def formatException(self, ei: Any) -> str:  # noqa: N802  the base class's name
        """Nothing: tracebacks are part of the event and masked with it."""
        return ""


def _for_people() -> Renderer:
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


class GoogleCloud:
    """One JSON object per line in the words of Google Cloud Logging.

    https://cloud.google.com/logging/docs/structured-logging#special-payload-fields
    """

    #: Set by logging_config: makes the trace a link in the console.
    project = ""
    _SEVERITY: Mapping[str, str] = {
        "debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "critical": "CRITICAL",
    }  # fmt: skip

    def __call__(self, logger: Any, method: str, event: Mapping[str, Any]) -> str:
        fields = dict(event)
        level = str(fields.pop("level", method))
        labels = {key: fields.pop(key) for key in ("request_id", "logger") if fields.get(key)}
        entry: dict[str, Any] = {
            "severity": self._SEVERITY.get(level, "DEFAULT"),
            "message": fields.pop("event", ""),
            "time": fields.pop("timestamp", None),
        }
        if stack := fields.pop("exception", None):
            entry["stack_trace"] = stack
        if match := TRACEPARENT.fullmatch(str(fields.pop("traceparent", ""))):
            trace, span, flags = match.groups()
            entry["logging.googleapis.com/trace"] = (
                f"projects/{self.project}/traces/{trace}" if self.project else trace
            )
            entry["logging.googleapis.com/spanId"] = span
            entry["logging.googleapis.com/trace_sampled"] = bool(int(flags, 16) & 1)
        if labels:
            entry["logging.googleapis.com/labels"] = {key: str(value) for key, value in labels.items()}
        for key, value in fields.items():
            entry[f"{key}_" if key in entry or key == "httpRequest" else key] = value
        return json.dumps(entry)


def _tidy(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out what must not be written at all: SQL parameters, task arguments, whole requests."""
    record: logging.LogRecord = event["_record"]
    if not event["_from_structlog"]:
        for key in ("message", "asctime"):  # other formatters leave them on the record
            event.pop(key, None)
    request = event.pop("request", None)
    if request is not None:
        # Django's own lines come after the middleware: the request still knows its ids.
        for key in ("request_id", "traceparent"):
            if hasattr(request, key):
                event.setdefault(key, getattr(request, key))
        event["request"] = request if isinstance(request, str) else _request_line(request)
    if record.name.startswith("django.db.backends"):
        _tidy_sql(event)
    elif record.name.startswith(("celery", "kombu")):
        for cut in ("(args:", "The full contents of the message"):
            event["event"] = str(event["event"]).partition(cut)[0].rstrip()
    return event


def _request_line(request: Any) -> str:
    return f"{getattr(request, 'method', '')} {getattr(request, 'path', '')}".strip()


def _tidy_sql(event: MutableMapping[str, Any]) -> None:
    event.pop("params", None)
    if "sql" in event:  # Django's text has the parameters written into it, here and in the message
        sql = event.pop("sql")
        event["event"] = statement(str(sql))
