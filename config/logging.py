"""The logging configuration: where lines go and in which form. Masking is not an option of it."""

from typing import Any

from erp import logs


def logging_config(level: str, machine_readable: bool, project: str = "") -> dict[str, Any]:
    """Configure logging for this process and return the ``dictConfig`` that was applied.

    ``level`` is a name such as INFO. ``machine_readable`` writes JSON as Google Cloud Logging reads it,
    otherwise lines for people; ``project`` is the cloud project whose traces the lines link to.
    Lines go to stderr: stdout belongs to what commands answer.
    """
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "masked": {"()": "erp.logs.formats.MaskingFormatter", "machine_readable": machine_readable}
        },
        "handlers": {"stderr": {"()": "erp.logs.setup.StderrHandler", "formatter": "masked"}},
        "root": {"handlers": ["stderr"], "level": level},
    }
    logs.configure(config, project=project)
    return config
