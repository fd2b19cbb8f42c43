"""Log lines of commands and jobs on standard error: the logger `kpray`, for people or for what collects logs."""

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
    """Whether lines are JSON: where the variable KPRAY_LOG is `json`."""
    return os.environ.get("KPRAY_LOG") == "json"


def say(event: str, text: str, **fields: Any) -> None:
    """Log a line of an event with its fields.

    Args:
        event: what kind of line it is, for who filters them: `step`, `round`; `warning` and `error` are levels too.
        text: for people.
        fields: the values in the text that a program may want.
    """
    _LOGGER.log(_LEVELS.get(event, logging.INFO), text, extra={"event": event, "fields": fields})


class JsonFormatter(logging.Formatter):
    """A record as a JSON object: `time` (UTC), `event` (else the level), `message` and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, on one line."""
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
    """Writes to what `sys.stderr` is at that moment, since rich replaces it while a live line stands there.

    An error of writing goes on to the caller: the end of a pipe ends the command (`run_main`).
    """

    text, json = logging.Formatter("kpray: %(message)s"), JsonFormatter()

    def format(self, record: logging.LogRecord) -> str:
        return (self.json if as_json() else self.text).format(record)

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


if not _LOGGER.handlers:  # a program that uses kpray may have set its own
    _LOGGER.addHandler(_StandardError())
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False  # else a handler of the root logger writes each line again
