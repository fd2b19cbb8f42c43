"""From a name or a folder to a predictor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from kpray.errors import UserError
from kpray.predictor import PREDICTOR_FILE, Predictor
from kpray.predictor_config import PredictorConfig
from kpray.ramkg.config import RAMKGConfig
from kpray.samrank.config import SAMRankConfig
from kpray.settings import Settings, merge_sections, validate_settings
from kpray.unikeyphrase.config import UniKeyphraseConfig


@dataclass(frozen=True, slots=True)
class _Method:
    """A kind of predictor.

    Attributes:
        config: its configuration.
        predictor: `module:class`, imported when one is opened, since that takes torch.
        trained: its weights lie in the saved folder, which its `model` then is; it cannot be opened without one.
    """

    config: type[PredictorConfig]
    predictor: str
    trained: bool


_METHODS = {
    "samrank": _Method(SAMRankConfig, "kpray.samrank.predictor:SAMRank", trained=False),
    "unikeyphrase": _Method(UniKeyphraseConfig, "kpray.unikeyphrase.predictor:UniKeyphrase", trained=True),
    "ramkg": _Method(RAMKGConfig, "kpray.ramkg.predictor:RAMKG", trained=True),
}
KINDS = tuple(_METHODS)


def open_predictor(name: str, config: Mapping[str, Any] | None = None) -> Predictor[Any]:
    """Open a predictor.

    Args:
        name: a kind that needs no training (`samrank`), or a folder that `Predictor.save` or a training wrote.
        config: fields of the predictor's configuration to set otherwise than its defaults, or than the folder has them.

    Raises:
        UserError: there is no such predictor, or its configuration is wrong.
    """
    method, settings = _configure(name, config or {})
    predictor: Predictor[Any] = resolve_name(method.predictor)(settings)
    return predictor


def kind_of(name: str) -> str:
    """The kind of a predictor, without opening it.

    Raises:
        UserError: there is no such predictor.
    """
    return _read(name)[0]


def pin_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a predictor's configuration, with what depends on the machine decided here, for all workers.

    Args:
        name: as `open_predictor`.
        config: as `open_predictor`.

    Raises:
        UserError: there is no such predictor, its configuration is wrong, or cannot be met on this machine.
    """
    _, settings = _configure(name, config)
    return settings.pinned().model_dump(mode="json")


def section_of(name: str, settings: Settings, others: Sequence[str] = ()) -> dict[str, Any]:
    """What a user set in the section of a predictor's kind, for `open_predictor`.

    Args:
        name: as `open_predictor`.
        settings: of a command or a job, with a section for each kind that it takes, named as the kind.
        others: names of the predictors that run besides, which have sections too.

    Raises:
        UserError: there is no such predictor, or something is set in a section that no predictor has.
    """
    kind = kind_of(name)
    kinds = {kind, *map(kind_of, others)}
    given = {
        section: value.model_dump(mode="json", exclude_unset=True)
        for section, value in settings
        if section in KINDS and isinstance(value, Settings)
    }
    for section, fields in given.items():
        if fields and section not in kinds:
            raise UserError(
                f"{section}.{next(iter(fields))} is set, but the predictor {name!r} is of the kind {kind}",
                fix=f"leave out what is of {section}",
            )
    return given.get(kind, {})


def _configure(name: str, config: Mapping[str, Any]) -> tuple[_Method, PredictorConfig]:
    """The method and the validated configuration of a predictor."""
    kind, saved, where = _read(name)
    return _METHODS[kind], validate_settings(_METHODS[kind].config, merge_sections(saved, config), where=where)


def _read(name: str) -> tuple[str, dict[str, Any], str]:
    """Kind and saved configuration of a predictor, and where they come from."""
    untrained = [kind for kind, method in _METHODS.items() if not method.trained]
    if name in untrained:
        return name, {}, name
    file = Path(name) / PREDICTOR_FILE
    if not file.is_file():
        what = f"{name!r} must be trained first" if name in KINDS else f"{name!r} is no predictor"
        raise UserError(what, where="predictor", fix=f"use {', '.join(untrained)}, or a folder with {PREDICTOR_FILE}")
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        kind, config = str(saved["kind"]), dict(saved["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"not a saved predictor: {error}", where=str(file), fix="save it anew") from error
    if kind not in KINDS:
        raise UserError(f"unknown kind of predictor {kind!r}", where=str(file), fix=f"known: {', '.join(KINDS)}")
    return kind, {**config, "model": name} if _METHODS[kind].trained else config, str(file)
