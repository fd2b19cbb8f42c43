"""From a name or a folder to a predictor, and the settings of every method that a command takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from pydantic import create_model

from kpray.corpus.limits import ReadingSettings
from kpray.errors import UserError
from kpray.predictor import PREDICTOR_FILE, Predictor
from kpray.predictor_config import PredictorConfig, TrainedConfig
from kpray.settings import Settings, merge_sections, validate_settings
from kpray.storage import local_folder

if TYPE_CHECKING:
    from kpray.ramkg.config import RAMKGOptions
    from kpray.samrank.config import SAMRankConfig
    from kpray.unikeyphrase.config import UniKeyphraseOptions


@dataclass(frozen=True, slots=True)
class Method:
    """A kind of predictor; classes are named as `module:class`.

    Attributes:
        predictor: the `Predictor`. It is imported when one is opened, since that takes torch.
        config: its `PredictorConfig`. Where that is a `TrainedConfig`, the weights lie in the saved folder.
        options: the part of the configuration that a user may set; empty: all of it.
    """

    predictor: str
    config: str
    options: str = ""

    @property
    def config_class(self) -> type[PredictorConfig]:
        """The class that `config` names."""
        return cast(type[PredictorConfig], resolve_name(self.config))

    @property
    def options_class(self) -> type[PredictorConfig]:
        """The class that `options` names."""
        return cast(type[PredictorConfig], resolve_name(self.options or self.config))

    @property
    def trained(self) -> bool:
        """Whether there is a predictor only where one was trained."""
        return issubclass(self.config_class, TrainedConfig)


# A line here makes a method known to every command, the configuration files, evaluation and serving.
METHODS = {
    "samrank": Method("kpray.samrank.predictor:SAMRank", "kpray.samrank.config:SAMRankConfig"),
    "unikeyphrase": Method(
        "kpray.unikeyphrase.predictor:UniKeyphrase",
        "kpray.unikeyphrase.config:UniKeyphraseConfig",
        "kpray.unikeyphrase.config:UniKeyphraseOptions",
    ),
    "ramkg": Method("kpray.ramkg.predictor:RAMKG", "kpray.ramkg.config:RAMKGConfig", "kpray.ramkg.config:RAMKGOptions"),
}
KINDS = tuple(METHODS)

if TYPE_CHECKING:

    class MethodSections(Settings):
        """Settings of every method, one section each."""

        samrank: SAMRankConfig = SAMRankConfig()
        unikeyphrase: UniKeyphraseOptions = UniKeyphraseOptions()
        ramkg: RAMKGOptions = RAMKGOptions()
else:
    MethodSections = create_model(
        "MethodSections",
        __base__=Settings,
        __doc__="Settings of every method, one section each.",
        **{kind: (method.options_class, method.options_class()) for kind, method in METHODS.items()},
    )


class PredictionSettings(MethodSections, ReadingSettings):
    """Settings of every command that reads documents and predicts their keyphrases."""


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


def section_of(name: str, settings: MethodSections, others: Sequence[str] = ()) -> dict[str, Any]:
    """What a user set in the section of a predictor's kind, for `open_predictor`.

    Args:
        name: as `open_predictor`.
        settings: of a command, with a section for each kind.
        others: names of the predictors that run besides, which have sections too.

    Raises:
        UserError: there is no such predictor, or something is set in a section that no predictor has.
    """
    kind = kind_of(name)
    kinds = {kind, *map(kind_of, others)}
    given: dict[str, dict[str, Any]] = {
        each: getattr(settings, each).model_dump(mode="json", exclude_unset=True) for each in KINDS
    }
    for section, fields in given.items():
        if fields and section not in kinds:
            raise UserError(
                f"{section}.{next(iter(fields))} is set, but the predictor {name!r} is of the kind {kind}",
                fix=f"leave out what is of {section}",
            )
    return given[kind]


def _configure(name: str, config: Mapping[str, Any]) -> tuple[Method, PredictorConfig]:
    """The method and the validated configuration of a predictor."""
    kind, saved, where = _read(name)
    method = METHODS[kind]
    return method, validate_settings(method.config_class, merge_sections(saved, config), where=where)


def _read(name: str) -> tuple[str, dict[str, Any], str]:
    """Kind and saved configuration of a predictor, and where they come from."""
    untrained = [kind for kind, method in METHODS.items() if not method.trained]
    if name in untrained:
        return name, {}, name
    file = Path(local_folder(name)) / PREDICTOR_FILE
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
    return kind, {**config, "model": name} if METHODS[kind].trained else config, str(file)
