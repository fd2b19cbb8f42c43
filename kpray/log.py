"""The logger `kpray`: log lines of commands and jobs on standard error, as text or as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING}
_LOGGER = logging.getLogger("kpray")


def as_json() -> bool:
    """Whether log lines are JSON, that is, whether the environment variable KPRAY_LOG is `json`."""
    return os.environ.get("KPRAY_LOG") == "json"


def say(event: str, text: str, **fields: Any) -> None:
    """Log one line.

    Args:
        event: kind of the line, for filters, such as `step` or `round`. `warning` and `error` also set the level.
        text: the message for people.
        fields: values in the message, for programs. Only the JSON form has them.
    """
    _LOGGER.log(_LEVELS.get(event, logging.INFO), text, extra={"event": event, "fields": fields})


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: `time` (UTC), `event` (default: the level), `message` and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object on one line."""
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "event": getattr(record, "event", record.levelname.lower()),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(values, ensure_ascii=False, default=str)


class _StandardError(logging.Handler):
    """Writes to the current `sys.stderr`, which rich replaces while it shows a live line.

    A write error is raised to the caller: a closed pipe ends the command (`run_main`).
    """

    text, json = logging.Formatter("kpray: %(message)s"), JsonFormatter()

    def format(self, record: logging.LogRecord) -> str:
        return (self.json if as_json() else self.text).format(record)

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


if not _LOGGER.handlers:  # a program that imports kpray may have added a handler
    _LOGGER.addHandler(_StandardError())
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False  # otherwise the root logger's handlers would repeat each line
