"""From a name or a folder to a predictor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kpray.errors import UserError
from kpray.predictor import PREDICTOR_FILE, Predictor

KINDS = ("samrank",)


def open_predictor(name: str, config: dict[str, Any] | None = None) -> Predictor[Any]:
    """Open a predictor.

    Args:
        name: a kind (`samrank`), or a folder that `Predictor.save` wrote.
        config: fields of the predictor's configuration to set otherwise than its defaults, or than the folder has them.

    Raises:
        UserError: there is no such predictor, or its configuration is wrong.
    """
    kind, fields, where = _read(name)
    return _build(kind, {**fields, **(config or {})}, where)


def pin_config(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Every field of a predictor's configuration, with what depends on the machine decided here, for all workers.

    Args:
        name: as `open_predictor`.
        config: as `open_predictor`.

    Raises:
        UserError: there is no such predictor, its configuration is wrong, or cannot be met on this machine.
    """
    from kpray.samrank.config import SAMRankConfig
    from kpray.settings import validate_settings
    from kpray.text.tagging import load_tagger

    kind, fields, where = _read(name)
    _check_kind(kind, where)
    settings = validate_settings(SAMRankConfig, {**fields, **config}, where=where)
    return {**settings.model_dump(mode="json"), "tagger": load_tagger(settings.tagger).name}


def _read(name: str) -> tuple[str, dict[str, Any], str]:
    """Kind and configuration of a predictor, and where they come from."""
    if name in KINDS:
        return name, {}, name
    file = Path(name) / PREDICTOR_FILE
    if not file.is_file():
        raise UserError(
            f"{name!r} is no predictor",
            where="predictor",
            fix=f"use {', '.join(KINDS)}, or a folder with {PREDICTOR_FILE}",
        )
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return str(saved["kind"]), dict(saved["config"]), str(file)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"not a saved predictor: {error}", where=str(file), fix="save it anew") from error


def _check_kind(kind: str, where: str) -> None:
    if kind not in KINDS:
        raise UserError(f"unknown kind of predictor {kind!r}", where=where, fix=f"known: {', '.join(KINDS)}")


def _build(kind: str, fields: dict[str, Any], where: str) -> Predictor[Any]:
    from kpray.settings import validate_settings

    _check_kind(kind, where)

    from kpray.samrank.config import SAMRankConfig
    from kpray.samrank.predictor import SAMRank

    return SAMRank(validate_settings(SAMRankConfig, fields, where=where))
