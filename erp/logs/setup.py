"""How the logging tree is wired: one handler on the root, one formatter, structlog in front of both."""

import logging
import logging.config
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

import structlog

from erp.logs.formats import COMMON, GoogleCloud, MaskingFormatter
from erp.logs.masking import FAILURES

logger = structlog.get_logger(__name__)


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at that moment; of a line that can't be written no content shows."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the base class's name
        """The base class would print the raw message and its arguments."""
        FAILURES.inc()


class _Logger(logging.Logger):
    """The class of every logger but the root: lines leave through the root's handler only.

    Libraries (redis, gunicorn, Celery) like to add a handler of their own, past the masker.
    """

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802  the base class's name
        """Take only what masks or writes nothing; anything else is left out."""
        if isinstance(hdlr, logging.NullHandler) or isinstance(hdlr.formatter, MaskingFormatter):
            super().addHandler(hdlr)


def configure(config: dict[str, Any], *, project: str = "") -> None:
    """Apply a ``dictConfig`` and route everything through it: structlog, warnings, uncaught errors.

    ``project`` is the Google Cloud project whose traces the lines link to.
    """
    GoogleCloud.project = project
    logging.config.dictConfig(config)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *COMMON,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.setLoggerClass(_Logger)  # after structlog's factory, which sets its own
    for earlier in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(earlier, logging.Logger):
            earlier.handlers.clear()
            earlier.propagate = True
            if type(earlier) is logging.Logger:
                earlier.__class__ = _Logger
    logging.captureWarnings(True)
    sys.excepthook = _uncaught(sys.__excepthook__)
    threading.excepthook = _uncaught_in_thread


def _uncaught(default: Callable[..., Any]) -> Callable[..., None]:
    def hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            default(kind, error, traceback)
        else:
            logger.critical("uncaught_error", exc_info=(kind, error, traceback))

    return hook


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        logger.critical(
            "uncaught_error",
            thread=args.thread.name if args.thread else "",
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )
