"""Check that masking is active in the live logging tree."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from django.core import checks

from erp.logs.formats import MaskingFormatter
from erp.logs.masking import masking_processor


def masking_faults() -> list[str]:
    """Every way past the masker in the effective logging configuration, in words."""
    faults = []
    root = logging.getLogger()
    if not root.handlers:
        faults.append("the root logger has no handler, so that Python's unmasked default handler writes")
    for name, handler in _handlers():
        if not _masks(handler.formatter):
            faults.append(
                f"logger {name}: {type(handler).__module__}.{type(handler).__qualname__} doesn't mask"
            )
    config = structlog.get_config()
    if (
        not config["processors"]
        or config["processors"][-1] is not structlog.stdlib.ProcessorFormatter.wrap_for_formatter
        or not isinstance(config["logger_factory"], structlog.stdlib.LoggerFactory)
    ):
        faults.append("structlog does not send its lines to Python's logging")
    return faults


def check_masking(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """System check ``erp.E801``: every effective log handler masks personal data."""
    return [
        checks.Error(
            f"Log lines can be written unmasked: {fault}.",
            hint="Configure logging through config.logging only.",
            id="erp.E801",
        )
        for fault in masking_faults()
    ]


def register_checks() -> None:
    """Register the system checks of this package; for AppConfig.ready()."""
    checks.register(check_masking, checks.Tags.security)


def _handlers() -> Iterator[tuple[str, logging.Handler]]:
    loggers = [logging.getLogger()]
    loggers += [
        item for item in logging.Logger.manager.loggerDict.values() if isinstance(item, logging.Logger)
    ]
    for logger in loggers:
        for handler in logger.handlers:
            inner: logging.Handler | None = handler
            while inner is not None:  # a MemoryHandler hands its records to a target
                if not isinstance(inner, logging.NullHandler) and not _of_the_test_runner(inner):
                    yield logger.name, inner
                inner = getattr(inner, "target", None)


def _masks(formatter: logging.Formatter | None) -> bool:
    return isinstance(formatter, MaskingFormatter) and masking_processor is list(formatter.processors)[-2]


def _of_the_test_runner(handler: logging.Handler) -> bool:
    """pytest keeps the records of a test in memory, to show them when it fails."""
    return type(handler).__module__.startswith("_pytest.")
