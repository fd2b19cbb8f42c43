"""Opens predictors by name or folder, and collects the settings of all methods for the commands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from pydantic import create_model

from kpray.corpus.limits import ReadingSettings
from kpray.errors import UserError
from kpray.hub import is_shipped, pin_name, predictor_folder
from kpray.lean import uncollected
from kpray.predictor import PREDICTOR_FILE, Predictor
from kpray.predictor_config import PredictorConfig, TrainedConfig
from kpray.settings import Settings, merge_sections, validate_settings

if TYPE_CHECKING:
    from kpray.ramkg.config import RAMKGOptions
    from kpray.samrank.config import SAMRankConfig
    from kpray.unikeyphrase.config import UniKeyphraseOptions


@dataclass(frozen=True, slots=True)
class Method:
    """A kind of predictor. Classes are given as `module:class`.

    Attributes:
        predictor: the `Predictor` class. It is imported when a predictor is opened, because it imports torch.
        config: its `PredictorConfig`. If that is a `TrainedConfig`, the saved folder contains the weights.
        options: class with the fields of the configuration that a user may set; empty: all fields.
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
        """Whether a predictor of this kind must be trained before it can be opened."""
        return issubclass(self.config_class, TrainedConfig)


# An entry here makes a method available to all commands, configuration files, evaluation and serving.
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


def open_predictor(
    name: str, config: Mapping[str, Any] | None = None, model: Callable[..., Any] | None = None
) -> Predictor[Any]:
    """Open a predictor.

    Args:
        name: a kind (`samrank`, or one whose model comes with kpray: `unikeyphrase`); a folder that `Predictor.save` or
            a training job wrote; or the id of a predictor on the Hugging Face hub, `organization/name` or
            `organization/name@revision`. A kind comes first (write `./samrank` for a folder), then a folder that
            exists. Of the hub's files only settings, tokenizers and safetensors are read, and no code.
        config: configuration fields that override the defaults, or the values saved in the folder.
        model: calls the model in another process (`open_model`); None: this process opens it.

    Raises:
        UserError: the predictor does not exist, or its configuration is wrong.
    """
    method, settings = _configure(name, config or {})
    with uncollected():
        predictor: Predictor[Any] = resolve_name(method.predictor)(settings, *(() if model is None else (model,)))
    return predictor


def shares_model(name: str) -> bool:
    """Whether `open_model` can open the model of a predictor: its class has a method of this name.

    Raises:
        UserError: the predictor does not exist.
    """
    return hasattr(resolve_name(METHODS[kind_of(name)].predictor), "open_model")


def open_model(name: str, config: Mapping[str, Any]) -> Callable[..., Any]:
    """Open the model of a predictor alone, for predictors in other processes.

    Args:
        name: as in `open_predictor`, of a method that `shares_model`.
        config: as in `open_predictor`.

    Returns:
        Answers calls: the name of a method, then its arguments.

    Raises:
        UserError: the predictor does not exist, its configuration is wrong, or the model cannot be opened.
    """
    method, settings = _configure(name, config)
    opened: Callable[..., Any] = resolve_name(method.predictor).open_model(settings)
    return opened


def kind_of(name: str) -> str:
    """The kind of a predictor, without opening it.

    Raises:
        UserError: the predictor does not exist.
    """
    return _read(name)[0]


def pin_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve all fields of a predictor's configuration on this machine, so that all workers use the same values.

    Args:
        name: as in `open_predictor`.
        config: as in `open_predictor`.

    Returns:
        The configuration as JSON values. Fields such as `auto` are replaced by what this machine chooses.

    Raises:
        UserError: the predictor does not exist, its configuration is wrong, or this machine cannot provide it.
    """
    _, settings = _configure(name, config)
    with uncollected():
        pinned = settings.pinned()
    return pinned.model_dump(mode="json")


def predictor_version(name: str, pinned: Mapping[str, Any], deployment: str = "") -> str:
    """A short digest of everything that the predictions depend on. Other versions may give other keyphrases.

    Args:
        name: as in `open_predictor`.
        pinned: its resolved configuration (`pin_config`).
        deployment: any text that distinguishes deployments of the same predictor.

    Returns:
        12 hexadecimal digits.

    Raises:
        UserError: the predictor does not exist.
    """
    where = name if name in KINDS else pin_name(name)
    depends_on = json.dumps([kind_of(name), where, pinned, deployment], sort_keys=True)
    return hashlib.sha256(depends_on.encode()).hexdigest()[:12]


def section_of(name: str, settings: MethodSections, others: Sequence[str] = ()) -> dict[str, Any]:
    """The fields that a user set in the section of a predictor's kind, for `open_predictor`.

    Args:
        name: as in `open_predictor`.
        settings: settings of a command, with a section for each kind.
        others: names of the other predictors of the same command. Their sections may be set too.

    Raises:
        UserError: a predictor does not exist, or a field is set in the section of a kind that is not used.
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
                fix=f"remove the options of {section}",
            )
    return given[kind]


def _configure(name: str, config: Mapping[str, Any]) -> tuple[Method, PredictorConfig]:
    """Method and validated configuration of a predictor."""
    kind, saved, where = _read(name)
    method = METHODS[kind]
    return method, validate_settings(method.config_class, merge_sections(saved, config), where=where)


def _read(name: str) -> tuple[str, dict[str, Any], str]:
    """Kind and saved configuration of a predictor, and the file or name that they come from (for errors)."""
    if name in KINDS and not METHODS[name].trained:
        return name, {}, name
    given, name = name, pin_name(name)
    file = predictor_folder(name) / PREDICTOR_FILE
    if not file.is_file():
        what = f"{given!r} must be trained first" if given in KINDS else f"{given!r} is not a predictor"
        usable = [kind for kind, method in METHODS.items() if not method.trained or is_shipped(kind)]
        fix = f"use {', '.join(usable)}, a folder with {PREDICTOR_FILE}, or an id on the Hugging Face hub"
        raise UserError(what, where="predictor", fix=fix)
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        kind, config = str(saved["kind"]), dict(saved["config"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"not a saved predictor: {error}", where=str(file), fix="save it again") from error
    if kind not in KINDS:
        raise UserError(f"unknown kind of predictor {kind!r}", where=str(file), fix=f"known: {', '.join(KINDS)}")
    return kind, {**config, "model": name} if METHODS[kind].trained else config, str(file)
