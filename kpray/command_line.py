"""The command line of a schema, a pydantic model: tyro parses it, prints its help and writes its shell completion.

All three read a type that is derived from the schema: a TypedDict of its fields. tyro returns the texts of the options
that were given, and only these. Pydantic then validates the texts together with the rest of the configuration.
"""

from __future__ import annotations

import difflib
import io
import re
import shlex
import shutil
import sys
import textwrap
import types
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise, zip_longest
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from typing_extensions import TypedDict

from kpray.errors import UserError

FieldPath = tuple[str, ...]  # the names that lead to a field: ("optim", "lr")

_CONFIG = "config"
_HELP_ALL = "help_all"
_HELPS = ("--help", "--help-all")
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
    config: Callable[[], str],
    positional: str | None = None,
    usual: Sequence[str] = (),
    examples: Sequence[str] = (),
) -> dict[FieldPath, Any]:
    """Values of the options that were given, as texts for pydantic; `--config` is the path `("config",)`.

    `--help`, `--help-all` and `--tyro-print-completion SHELL` print their text and exit.

    Args:
        schema: its fields are the options.
        arguments: the command line without the program's name.
        prog: the program, as the help shows it.
        description: sentences for the help.
        config: returns the help of `--config`.
        positional: a field, a sequence, that takes the arguments which belong to no option.
        usual: dotted names of the fields that `--help` shows besides the required ones; empty: it shows all.
        examples: arguments of example command lines for the help.

    Raises:
        UserError: names an option that does not exist or lacks its value, or an argument that belongs to no option.
    """
    leaves = schema_leaves(schema)
    assert not {(_CONFIG,), (_HELP_ALL,)} & leaves.keys(), "these options are not fields"
    tokens = [re.sub(r"^--[^=]+", lambda name: name[0].replace("_", "-"), token) for token in arguments]
    if {"-h", *_HELPS}.intersection(tokens):
        shortened = bool(usual) and "--help-all" not in tokens
        derived = _arrange(_derive_shown(schema, config(), positional), schema, usual, shortened)
        last = f"--help-all shows all {len({*leaves} - {(positional,)}) + 1} options.\n" if shortened else ""
        sys.stdout.write(_help(derived, prog, _with_examples(description, prog, examples)) + last)
        sys.exit(0)
    completion = _completion(arguments)
    if completion:
        _run_tyro(_derive_shown(schema, config(), positional), completion, prog, description, console_outputs=True)
        raise AssertionError("the completion ends the process")
    options = {option_of(path): leaf for path, leaf in leaves.items() if path != (positional,)}
    options[option_of((_CONFIG,))] = str
    switches = {name: f"{option}={text}" for option in options for name, text in _switches(option, options[option])}
    tokens = list(_in_full(tokens, options, switches))
    try:
        derived = _derive_parsed({**leaves, (_CONFIG,): str}, positional)
        values, rest = _run_tyro(derived, tokens, prog, description, console_outputs=False)
    except SystemExit as error:  # the one thing that tyro itself refuses: an option without its value
        raise UserError(
            f"{_without_value(tokens, options)}: expected 1 argument",
            fix="see --help; a value that begins with - is written --option=VALUE",
        ) from error
    given: dict[FieldPath, Any] = {tuple(name.split(".")): value for name, value in values.items()}
    others = _other_arguments(rest, [*options, *switches, *_HELPS])
    if positional is not None:
        others = given.pop((positional,), []) + others
        return {**given, (positional,): others} if others else given
    if others:
        raise UserError(f"unexpected argument {others[0]!r}", fix="every value follows an option; see --help")
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


def reads_as_none(annotation: Any, value: Any) -> bool:
    """Tell whether a value is the word `none` or `null`, in any case, for a field that may be None.

    This is the rule for command lines, YAML files and all other sources.
    """
    return isinstance(value, str) and value.lower() in _NONE and types.NoneType in _members(annotation)


def nearest(name: str, known: Collection[str], otherwise: str) -> str:
    """Advice for a misspelt name: a known name that is spelt alike, or one with the same last part."""
    last = name.lstrip("-").rpartition(".")[2]
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    alike = alike or [other for other in known if other.lstrip("-").rpartition(".")[2] == last]
    return f"did you mean {alike[0]}?" if alike else otherwise


# The type that tyro reads


def _derive_parsed(leaves: dict[FieldPath, Any], positional: str | None) -> Any:
    """The TypedDict to parse: dotted names that take any text, because pydantic refuses the values that do not fit.

    With the types of the schema, tyro would import typeguard to check that they fit their defaults.
    """
    import tyro

    fields: dict[str, Any] = {}
    for path, annotation in leaves.items():
        spec = tyro.constructors.PrimitiveConstructorSpec(
            nargs="*" if _is_sequence(annotation) else 1,
            metavar="",
            instance_from_str=partial(_from_texts, annotation),
            is_instance=lambda _: True,
            str_from_instance=lambda value: [value],
        )
        fields[".".join(path)] = Annotated[str, spec, tyro.conf.arg(help="")]
    if positional is not None:
        fields[positional] = Annotated[fields[positional], tyro.conf.Positional]
    return _typed_dict("Options", fields, None)


def _derive_shown(schema: type[pydantic.BaseModel], config: str, positional: str | None) -> Any:
    """The TypedDict for the help and the completion, which name choices and both forms of a switch."""
    import tyro

    derived = _derive_section(schema, None)
    fields = derived.__annotations__
    fields[_CONFIG] = Annotated[str, tyro.conf.arg(metavar="FILE", help=config, help_behavior_hint="")]
    about = tyro.conf.arg(help="Show all options.", help_behavior_hint="")
    fields[_HELP_ALL] = Annotated[int, tyro.conf.UseCounterAction, about]  # a bool would be --no-help-all
    if positional is not None:
        name = tyro.conf.arg(metavar=f"{positional.upper()}...")
        fields[positional] = Annotated[fields[positional], tyro.conf.Positional, name]
    return derived


def _derive_section(schema: type[pydantic.BaseModel], default: pydantic.BaseModel | None) -> Any:
    import tyro

    fields: dict[str, Any] = {}
    for name, info in schema.model_fields.items():
        required = default is None and info.is_required()
        value = getattr(default, name) if default is not None else info.get_default(call_default_factory=True)
        section = schema_section(info.annotation)
        if section is not None:
            derived = _derive_section(section, None if required else value)
            fields[name] = Annotated[derived, tyro.conf.arg(help=_in_one_line(info.description))]
        else:
            about = tyro.conf.arg(
                metavar=_metavar(info.annotation),
                help=_in_one_line(info.description) or "",
                help_behavior_hint="(required)" if required else _default_text(info.annotation, value),
            )
            fields[name] = Annotated[_leaf(info.annotation), about]
    return _typed_dict(schema.__name__, fields, schema.__doc__)


def _arrange(derived: Any, schema: type[pydantic.BaseModel], usual: Sequence[str], shortened: bool) -> Any:
    """A TypedDict that begins with the required and the usual options of a derived one.

    If it is shortened, it has only these, and no sections; otherwise the usual ones of sections remain there.
    """
    first = [*(name for name, info in schema.model_fields.items() if info.is_required()), *usual]
    rest = (_CONFIG, _HELP_ALL) if shortened else derived.__annotations__
    rest = [name for name in rest if usual or name != _HELP_ALL]
    fields = {}
    for name in dict.fromkeys([*(name for name in first if shortened or "." not in name), *rest]):
        section, parts = derived, name.split(".")
        for part in parts[:-1]:
            section = section.__annotations__[part].__origin__
        fields[name] = section.__annotations__[parts[-1]]
    return _typed_dict(schema.__name__, fields, schema.__doc__)


def _typed_dict(name: str, fields: dict[str, Any], doc: str | None) -> Any:
    make: Any = TypedDict  # type checkers know only the form with fields that are written in the source
    derived = make(name, fields, total=False)
    derived.__doc__ = _in_one_line(doc)
    return derived


def _in_one_line(text: str | None) -> str | None:
    """The text with single blanks: tyro would keep the line breaks of the source."""
    return " ".join(text.split()) if text else text


def _tyros_spec(annotation: Any) -> Any:
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(annotation, set()))
    assert isinstance(spec, PrimitiveConstructorSpec), f"{annotation} is nothing that an option can hold"
    return spec


def _leaf(annotation: Any) -> Any:
    """The type of an option that the help shows."""
    if _is_switch(annotation):
        return bool  # which tyro shows as --flag, --no-flag
    spec = _tyros_spec(annotation)
    arity: Any = "*" if _is_sequence(annotation) else 1
    choices = tuple(choice for choice in spec.choices if choice != "None") if spec.choices else None
    return Annotated[annotation, replace(spec, nargs=arity, choices=choices)]


def _metavar(annotation: Any) -> str | None:
    """Placeholder of the value in the help: `INT`, `{a,b}`, `STR ...` for a sequence; None leaves it to tyro."""
    if _is_switch(annotation):
        return None
    metavar = str(_tyros_spec(annotation).metavar).replace("{None,", "{").removeprefix("{None}|")
    metavar = re.sub(r"^\[(.+) \[\1 \.\.\.\]\]$", r"\1 ...", metavar)
    return metavar[1:-1] if " " in metavar and metavar.startswith("{") and "," not in metavar else metavar


def _default_text(annotation: Any, value: Any) -> str:
    if value is None:
        return "(default: null)"
    text = " ".join(shlex.quote(text) for text in _tyros_spec(annotation).str_from_instance(value))
    return f"(default: {text})" if text else "(optional)"


def _with_examples(description: str, prog: str, examples: Sequence[str]) -> str:
    """The description and the example command lines; tyro keeps the breaks before lines that are indented."""
    width = _width()
    unbroken: dict[str, Any] = {"break_on_hyphens": False, "break_long_words": False}
    text = textwrap.fill(description, width, initial_indent="  ", subsequent_indent="  ", **unbroken)
    if not examples:
        return text
    program = f"python {prog}" if ".py" in prog else prog
    lines = [
        " \\\n".join(textwrap.wrap(f"  {program} {arguments}", width - 2, subsequent_indent=" " * 6, **unbroken))
        for arguments in examples
    ]
    return "\n".join([text, "", "Example:" if len(lines) == 1 else "Examples:", *lines])


class _Screen(io.StringIO):
    """Receives what tyro prints for standard output."""

    encoding = property(lambda _: sys.__stdout__ and sys.__stdout__.encoding)

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


def _help(derived: Any, prog: str, about: str) -> str:
    """Tyro's help, with its first line wrapped."""
    screen = _Screen()
    with redirect_stdout(screen), suppress(SystemExit):
        _run_tyro(derived, ["--help"], prog, about, console_outputs=True)
    usage, _, rest = screen.getvalue().partition("\n")
    return textwrap.fill(usage, _width(), subsequent_indent=" " * 7, break_on_hyphens=False) + f"\n{rest}"


def _width() -> int:
    return shutil.get_terminal_size().columns


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
    """The forms of a switch that take no value, and the value that each means."""
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


def _other_arguments(rest: Sequence[str], known: Collection[str]) -> list[str]:
    """The tokens that tyro did not read, all of which must be arguments without an option."""
    others = [token for token in rest if token != _END]
    for token in others:
        if token.startswith("-") and token != "-":
            option = token.split("=")[0]
            if option in _COMPLETION:
                raise UserError(f"{option} is not the first argument", fix="give it alone, with the shell")
            if option in known:
                raise UserError(f"{option} takes no value", fix=f"give {option} alone")
            raise UserError(f"unknown option {option}", fix=nearest(option, known, "see --help"))
    return others


def _from_texts(annotation: Any, texts: list[str]) -> Any:
    """Value for pydantic, which itself turns strings into numbers, truth values and paths."""
    if len(texts) == 1 and reads_as_none(annotation, texts[0]):
        return None
    literals = _literals(annotation)  # pydantic takes "1" for an int, but not for Literal[1]
    values = [literals.get(text, text) for text in texts]
    return values if _is_sequence(annotation) else values[0]
