"""What commands and jobs tell while they work: a line each on standard error, for people or for what collects logs."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any


def as_json() -> bool:
    """Whether lines are JSON: where the variable KPRAY_LOG is `json`."""
    return os.environ.get("KPRAY_LOG") == "json"


def say(event: str, text: str, **fields: Any) -> None:
    """Write `kpray: text`; or as JSON an object with `time` (UTC), `event`, `message` and the fields.

    Args:
        event: what kind of line it is, for who filters them: `step`, `round`, `error`.
        text: for people.
        fields: the values in the text that a program may want.
    """
    line = f"kpray: {text}"
    if as_json():
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "event": event, "message": text, **fields}, ensure_ascii=False, default=str)
    print(line, file=sys.stderr, flush=True)
