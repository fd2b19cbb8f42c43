"""JSON files that others may have written or damaged."""

from __future__ import annotations

import json
from typing import Any

from kpray.errors import UserError
from kpray.storage import Location, reason_of


def read_object(path: Location, fix: str) -> dict[str, Any]:
    """Read a file with one JSON object.

    Args:
        path: the file.
        fix: what to do if it cannot be read, for the message.

    Raises:
        UserError: the file cannot be read, is not JSON or is nested too deeply, or is not an object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise UserError("the JSON is nested too deeply", where=str(path), fix=fix) from error
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot be read: {reason}", where=str(path), fix=fix) from error
    if not isinstance(found, dict):
        raise UserError("is not a JSON object", where=str(path), fix=fix)
    return found
