"""The command line of a schema, a pydantic model: tyro parses it, prints its help and writes its shell completion.

All three read one derived type, a TypedDict of the schema's fields, each section again a TypedDict. tyro hands on the
texts of the options that were given and no others; what the texts mean, pydantic decides with the rest of the
configuration.
"""

from __future__ import annotations

import difflib
import re
import shlex
import types
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, zip_longest
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from typing_extensions import TypedDict

from kpray.errors import UserError

FieldPath = tuple[str, ...]  # the names that lead to a field: ("optim", "lr")

_CONFIG = "config"
_NONE = ("none", "null")  # None, as Python and as YAML spell it
_END = "-end\0"  # looks like an option, so tyro ends a sequence at it; with a NUL, no argument is equal to it
_SHELLS = ("bash", "zsh", "fish")
_COMPLETION = {"--tyro-print-completion": "SHELL", "--tyro-write-completion": "SHELL FILE"}


def read_command_line(
    schema: type[pydantic.BaseModel],
    arguments: Sequence[str],
    *,
    prog: str,
    description: str,
    config: str,
    positional: str | None = None,
) -> dict[FieldPath, Any]:
    """Values of the options that were given, as texts for pydantic; `--config` is the path `("config",)`.

    `--help` and `--tyro-print-completion SHELL` print theirs and exit.

    Args:
        schema: its fields are the options.
        arguments: the command line without the program's name.
        prog: the program, as the help shows it.
        description: one line for the help.
        config: help of `--config`.
        positional: a field, a sequence, that takes the arguments which belong to no option.

    Raises:
        UserError: names an option that does not exist or lacks its value, or an argument that belongs to no option.
    """
    leaves = schema_leaves(schema)
    assert (_CONFIG,) not in leaves, "the option --config reads the file"
    tokens = [re.sub(r"^--[^=]+", lambda name: name[0].replace("_", "-"), token) for token in arguments]
    shown = ["--help"] if {"-h", "--help"}.intersection(tokens) else _completion(arguments)
    if shown:
        _run_tyro(_derive(schema, config, positional, shown=True), shown, prog, description, console_outputs=True)
        raise AssertionError("the help and the completion end the process")
    options = {option_of(path): leaf for path, leaf in leaves.items() if path != (positional,)}
    options[option_of((_CONFIG,))] = str
    switches = {name: f"{option}={text}" for option in options for name, text in _switches(option, options[option])}
    tokens = list(_in_full(tokens, options, switches))
    try:
        derived = _derive(schema, config, positional, shown=False)
        values, rest = _run_tyro(derived, tokens, prog, description, console_outputs=False)
    except SystemExit as error:  # the one thing that tyro itself refuses: an option without its value
        raise UserError(
            f"{_without_value(tokens, options)}: expected 1 argument",
            fix="see --help; a value that begins with - is written --option=VALUE",
        ) from error
    given = dict(_flat(values))
    beside = _beside_options(rest, [*options, *switches])
    if positional is not None:
        beside = given.pop((positional,), []) + beside
        return {**given, (positional,): beside} if beside else given
    if beside:
        raise UserError(f"unexpected argument {beside[0]!r}", fix="every value follows an option; see --help")
    return given


def schema_section(annotation: Any) -> type[pydantic.BaseModel] | None:
    """The schema that a field holds; None if it holds a value."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel) else None


def schema_leaves(schema: type[pydantic.BaseModel], above: FieldPath = ()) -> dict[FieldPath, Any]:
    """Annotation of every field that holds a value, not a section."""
    leaves: dict[FieldPath, Any] = {}
    for name, info in schema.model_fields.items():
        section = schema_section(info.annotation)
        leaves |= schema_leaves(section, (*above, name)) if section else {(*above, name): info.annotation}
    return leaves


def option_of(path: FieldPath) -> str:
    """How the command line spells a field."""
    return "--" + ".".join(path).replace("_", "-")


def nearest(name: str, known: Collection[str], otherwise: str) -> str:
    """Advice for a misspelt name: one that is spelt alike, or that has its last part elsewhere."""
    last = name.lstrip("-").rpartition(".")[2]
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    alike = alike or [other for other in known if other.lstrip("-").rpartition(".")[2] == last]
    return f"did you mean {alike[0]}?" if alike else otherwise


# The type that tyro reads


def _derive(schema: type[pydantic.BaseModel], config: str, positional: str | None, *, shown: bool) -> Any:
    """The TypedDict of a schema.

    `shown` is for the help and the completion, which name choices and both forms of a switch. To parse, each option
    takes any text: a value that does not fit is pydantic's to refuse.
    """
    import tyro

    derived = _derive_section(schema, None, shown)
    fields = derived.__annotations__
    fields[_CONFIG] = Annotated[_leaf(str, shown), tyro.conf.arg(metavar="FILE", help=config, help_behavior_hint="")]
    if positional is not None:
        name = tyro.conf.arg(metavar=f"{positional.upper()}...")
        fields[positional] = Annotated[fields[positional], tyro.conf.Positional, name]
    return derived


def _derive_section(schema: type[pydantic.BaseModel], default: pydantic.BaseModel | None, shown: bool) -> Any:
    import tyro

    fields: dict[str, Any] = {}
    for name, info in schema.model_fields.items():
        required = default is None and info.is_required()
        value = getattr(default, name) if default is not None else info.get_default(call_default_factory=True)
        section = schema_section(info.annotation)
        if section is not None:
            derived = _derive_section(section, None if required else value, shown)
            fields[name] = Annotated[derived, tyro.conf.arg(help=info.description)]
        else:
            hint = "(required)" if required else f"(default: {_default_text(info.annotation, value)})" if shown else ""
            about = tyro.conf.arg(help=info.description or "", help_behavior_hint=hint)
            fields[name] = Annotated[_leaf(info.annotation, shown), about]
    make: Any = TypedDict  # type checkers know it with fields that stand in the source
    derived = make(schema.__name__, fields, total=False)
    derived.__doc__ = schema.__doc__
    return derived


def _tyros_spec(annotation: Any) -> Any:
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(annotation, set()))
    assert isinstance(spec, PrimitiveConstructorSpec), f"{annotation} is nothing that an option can hold"
    return spec


def _leaf(annotation: Any, shown: bool) -> Any:
    """The type of an option: its texts."""
    if shown and _is_switch(annotation):
        return bool  # which tyro shows as --flag, --no-flag
    spec = _tyros_spec(annotation)
    arity: Any = "*" if _is_sequence(annotation) else 1
    choices = spec.choices if shown else None
    read = partial(_from_texts, annotation)
    return Annotated[
        str if _is_switch(annotation) else annotation,
        replace(spec, nargs=arity, choices=choices, instance_from_str=read),
    ]


def _default_text(annotation: Any, value: Any) -> str:
    return " ".join(shlex.quote(text) for text in _tyros_spec(annotation).str_from_instance(value))


def _run_tyro(derived: Any, tokens: Sequence[str], prog: str, description: str, *, console_outputs: bool) -> Any:
    import tyro

    return tyro.cli(
        derived,
        args=tokens,
        prog=prog,
        description=description,
        return_unknown_args=True,
        console_outputs=console_outputs,
    )


def _completion(arguments: Sequence[str]) -> list[str]:
    """The arguments if they ask for a completion, or none."""
    if not arguments or arguments[0] not in _COMPLETION:
        return []
    takes = _COMPLETION[arguments[0]]
    if len(arguments) != 1 + len(takes.split()) or arguments[1] not in _SHELLS:
        raise UserError(f"{arguments[0]} takes {takes}", fix=f"shells: {', '.join(_SHELLS)}")
    return list(arguments)


# Types


def _members(annotation: Any) -> list[Any]:
    """Types that a value may have: those of a union, each without `Annotated`."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return [annotation]


def _is_switch(annotation: Any) -> bool:
    return {*_members(annotation)} - {types.NoneType} == {bool}


def _is_sequence(annotation: Any) -> bool:
    return any((get_origin(member) or member) in (tuple, list, set, frozenset) for member in _members(annotation))


def _literals(annotation: Any) -> dict[str, Any]:
    if get_origin(annotation) is Literal:
        return {str(value): value for value in get_args(annotation)}
    return {text: value for argument in get_args(annotation) for text, value in _literals(argument).items()}


# Texts


def _switches(option: str, annotation: Any) -> list[tuple[str, str]]:
    """The forms of a switch that take no value, and the value that each stands for."""
    section, dot, name = option[2:].rpartition(".")
    return [(option, "true"), (f"--{section}{dot}no-{name}", "false")] if _is_switch(annotation) else []


def _in_full(tokens: Sequence[str], options: dict[str, Any], switches: dict[str, str]) -> Iterator[str]:
    """Tokens in the form that tyro reads with one meaning.

    A switch gets its value unless one follows: `--flag FILE` leaves the file alone. A sequence that is given by `=`
    ends there, as `--option=VALUE FILE` does for every other option.
    """
    end = tokens.index("--") if "--" in tokens else len(tokens)  # after it, all are positional
    for token, after in zip_longest(tokens[:end], tokens[1:end], fillvalue=""):
        yield token if after.lower() in ("true", "false", *_NONE) else switches.get(token, token)
        option, equals, _ = token.partition("=")
        if equals and option in options and _is_sequence(options[option]):
            yield _END
    yield from tokens[end:]


def _without_value(tokens: Sequence[str], options: dict[str, Any]) -> str:
    """The option that the next one follows at once, as tyro sees it: a negative number is a value."""
    takes_one = {option for option, annotation in options.items() if not _is_sequence(annotation)}
    pairs = pairwise([*tokens, "--"])
    found = (token for token, after in pairs if token in takes_one and re.match(r"--$|-+[^\W\d_]", after))
    return next(found, "an option")


def _flat(values: dict[str, Any], above: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    for name, value in values.items():
        path = (*above, name)
        yield from _flat(value, path) if isinstance(value, dict) else [(path, value)]


def _beside_options(rest: Sequence[str], known: Collection[str]) -> list[str]:
    """Of the tokens that tyro has no option for, those that are none."""
    beside = [token for token in rest if token != _END]
    for token in beside:
        if token.startswith("-") and token != "-":
            option = token.split("=")[0]
            if option in _COMPLETION:
                raise UserError(f"{option} is not the first argument", fix="give it alone, with the shell")
            if option in known:
                raise UserError(f"{option} takes no value", fix=f"give {option} alone")
            raise UserError(f"unknown option {option}", fix=nearest(option, known, "see --help"))
    return beside


def _from_texts(annotation: Any, texts: list[str]) -> Any:
    """Value for pydantic, which itself turns strings into numbers, truth values and paths."""
    if types.NoneType in _members(annotation) and len(texts) == 1 and texts[0].lower() in _NONE:
        return None
    literals = _literals(annotation)  # pydantic takes "1" for an int, but not for Literal[1]
    values = [literals.get(text, text) for text in texts]
    return values if _is_sequence(annotation) else values[0]
