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
    """The configuration with choices that depend on the machine made here, so that every worker makes the same.

    Raises:
        UserError: there is no such predictor, or a choice cannot be met on this machine.
    """
    kind, fields, _ = _read(name)
    if kind == "samrank":
        from kpray.text.tagging import load_tagger

        return {**config, "tagger": load_tagger({**fields, **config}.get("tagger", "auto")).name}
    return config


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


def _build(kind: str, fields: dict[str, Any], where: str) -> Predictor[Any]:
    from kpray.settings import validate_settings

    if kind == "samrank":
        from kpray.samrank.config import SAMRankConfig
        from kpray.samrank.predictor import SAMRank

        return SAMRank(validate_settings(SAMRankConfig, fields, where=where))
    raise UserError(f"unknown kind of predictor {kind!r}", where=where, fix=f"known: {', '.join(KINDS)}")
