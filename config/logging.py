"""The logging configuration: where lines go and in which form. Masking is not an option of it."""

from typing import Any, Literal

from erp import logs


def logging_config(level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | str, machine_readable: bool) -> dict[str, Any]:
    """Configure logging for this process and return what was applied.

    ``machine_readable`` writes JSON as Google Cloud Logging reads it, otherwise lines for people.
    Lines go to stderr: stdout belongs to what commands answer.
    """
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"masked": {"()": "erp.logs.setup.formatter", "machine_readable": machine_readable}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "masked", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": level},
    }
    logs.configure(config)
    return config
