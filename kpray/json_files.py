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
    return _parse(_read(path, fix), str(path), fix)


def read_lines(path: Location, fix: str) -> list[dict[str, Any]]:
    """Read a file with one JSON object in each line. A last line without a line end is skipped: its writer was killed.

    Args:
        path: the file.
        fix: what to do if it cannot be read, for the message.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    *lines, _unfinished = _read(path, fix).split("\n")
    return [_parse(line, f"{path}:{number}", fix) for number, line in enumerate(lines, start=1)]


def _read(path: Location, fix: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot be read: {reason}", where=str(path), fix=fix) from error


def _parse(text: str, where: str, fix: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise UserError("the JSON is nested too deeply", where=where, fix=fix) from error
    except ValueError as error:
        raise UserError(f"cannot be read: {error}", where=where, fix=fix) from error
    if not isinstance(found, dict):
        raise UserError("is not a JSON object", where=where, fix=fix)
    return found
