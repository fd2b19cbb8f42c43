"""One configuration schema serves the YAML file, the command line, the Ray worker and Serve.

A schema is a subclass of `Settings`; its fields are leaves (numbers, strings, paths, literals, lists of these) or
schemas again. `parse_settings` reads it from a file and the command line, `validate_settings` from values in
memory. `dump_settings` writes it so that `--config` reads it back. Each mistake of a user is a `UserError`.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pydantic

from kpray.command_line import (
    FieldPath,
    nearest,
    option_of,
    read_command_line,
    reads_as_none,
    schema_leaves,
    schema_section,
)
from kpray.errors import UserError, missing_extra
from kpray.log import say

if TYPE_CHECKING:
    import yaml
    from pydantic_core import ErrorDetails

CONFIGURATIONS = Path(__file__).parent / "configurations"

_MOST_BYTES = 1 << 20  # of a configuration
_MOST_DIGITS = 100
_PLAINER = {
    "string_type": "it should be a string: put it in quotes",
    "path_type": "it should be a path",
    "int_parsing": "it should be an integer",
    "float_parsing": "it should be a number",
    "bool_parsing": "it should be true or false",
}


class Settings(pydantic.BaseModel):
    """Base of every configuration: immutable, no unknown fields; the docstring of a field is its help."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _complete_sections(cls, values: Any) -> Any:
        """Read `none` and `null` as None, and keep what a field's default sets where its section is given in part."""
        if not isinstance(values, Mapping):
            return values
        values = {
            name: None
            if name in cls.model_fields and reads_as_none(cls.model_fields[name].annotation, value)
            else value
            for name, value in values.items()
        }
        defaults = {
            name: info.default.model_dump(include=info.default.model_fields_set)
            for name, info in cls.model_fields.items()
            if isinstance(info.default, Settings) and isinstance(values.get(name), Mapping)
        }
        return merge_sections(defaults, values)


def merge_sections(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields, and those before that are not given, section by section."""
    merged = dict(before)
    for name, value in given.items():
        old = merged.get(name)
        merged[name] = merge_sections(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


Schema = TypeVar("Schema", bound=Settings)


@dataclass
class _Sources:
    """Where each value came from, so that an error can say it."""

    name: str = ""  # of the file
    positional: str | None = None  # field that takes the arguments which belong to no option
    lines: dict[FieldPath, int] = field(default_factory=dict)  # of the fields in the file, counted from 1
    options: dict[FieldPath, str] = field(default_factory=dict)  # as given on the command line

    def where(self, path: FieldPath) -> str:
        """The file and the line of a field, or of the section it belongs to; empty for the command line."""
        if path in self.options:
            return ""
        known = (path[:depth] for depth in range(len(path), 0, -1) if path[:depth] in self.lines)
        line = self.lines.get(next(known, ()))
        return f"{self.name}:{line}" if line else self.name


def parse_settings(
    schema: type[Schema],
    arguments: Sequence[str],
    *,
    prog: str,
    description: str,
    positional: str | None = None,
    usual: Sequence[str] = (),
    examples: Sequence[str] = (),
) -> Schema:
    """Read a configuration: the schema's defaults, then the file of `--config`, then the command line.

    Args:
        schema: what to read. A field `optim.batch_size` is the option `--optim.batch-size`; a sequence takes any number
            of values, a truth value is `--flag`, `--no-flag` or `--flag true`, and `none` or `null` is None.
        arguments: the command line without the program's name. `--config` takes a file, or the name of one that
            ships with kpray. `--help` prints the usual fields with their descriptions and defaults, `--help-all` all
            fields, `--tyro-print-completion bash` (or zsh, fish) a completion for the shell; each exits.
        prog: the program, as the help shows it.
        description: sentences for the help.
        positional: a field, a sequence, that takes the arguments which belong to no option.
        usual: dotted names of the fields that `--help` shows besides the required ones; empty: it shows all.
        examples: arguments of example command lines for the help.

    Raises:
        UserError: names the field, the value and what it should be.
    """
    given = read_command_line(
        schema,
        arguments,
        prog=prog,
        description=description,
        config=lambda: f"{_config_advice(schema)}.",
        positional=positional,
        usual=usual,
        examples=examples,
    )
    config = given.pop(("config",), None)
    values, sources = _read_file(schema, config) if config is not None else ({}, _Sources())
    sources.positional = positional
    sources.options = {path: option_of(path) if path != (positional,) else path[0] for path in given}
    for path, value in given.items():
        _put(values, path, value)
    return _validate(schema, values, sources)


def validate_settings(schema: type[Schema], values: Mapping[str, Any], *, where: str) -> Schema:
    """Make a configuration of values that were read elsewhere, such as a saved predictor's or Serve's arguments.

    Raises:
        UserError: names `where`, the field, the value and what it should be.
    """
    return _validate(schema, dict(values), _Sources(where))


def dump_settings(settings: Settings) -> str:
    """Write a configuration as YAML, every field in the schema's order, so that `--config` reads the same back."""
    import yaml

    # ASCII, since PyYAML writes some line breaks of Unicode (U+0085) such that it reads them back as spaces.
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=False)


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run an entry point, and end the process with its exit code.

    The code is 2 for a user's mistake, 130 for Ctrl-C and 143 for SIGTERM.
    """
    code = 0
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            code = _checked(main)
        except UserError as error:
            say("error", f"error: {error}", what=error.what, where=error.where, fix=error.fix)
            code = error.exit_code
        except KeyboardInterrupt as interrupt:
            number = signal.SIGTERM if isinstance(interrupt, _Terminated) else signal.SIGINT
            say("interrupted", "interrupted; run the same command again")
            code = 128 + number
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # What still waits in the buffer would fail again when Python closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    sys.exit(code)


class _Terminated(KeyboardInterrupt):
    """SIGTERM ends a command like Ctrl-C: what it has begun is left so that the same command continues."""


def _terminate(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the command at once
    raise _Terminated


def _checked(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error


def _reader_is_gone() -> bool:
    """Tell whether standard output is a pipe that nobody reads any more (`kpray ... | head`)."""
    import select

    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


# The file


def _put(values: dict[str, Any], path: FieldPath, value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            return  # the file has no section there, which validation will say
    values[path[-1]] = value


def _shipped() -> list[str]:
    return sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))


def _fits(schema: type[pydantic.BaseModel], values: Mapping[str, Any]) -> bool:
    """Tell whether a schema has all fields of a configuration."""
    for name, value in values.items():
        info = schema.model_fields.get(name)
        section = schema_section(info.annotation) if info else None
        if info is None or (section and not (isinstance(value, Mapping) and _fits(section, value))):
            return False
    return True


def _config_advice(schema: type[Settings]) -> str:
    """What `--config` takes: a file, or one of the shipped configurations that fit the schema."""
    import yaml

    files = {name: CONFIGURATIONS / f"{name}.yaml" for name in _shipped()}
    fitting = [name for name, file in files.items() if _fits(schema, yaml.safe_load(file.read_bytes()) or {})]
    return "YAML file with values for these options" + (f", or one of: {', '.join(fitting)}" if fitting else "")


def _read_file(schema: type[Settings], name: str) -> tuple[dict[str, Any], _Sources]:
    """Values of a YAML file, and the line of each."""
    import yaml

    path = CONFIGURATIONS / f"{name}.yaml" if name in _shipped() else Path(name)
    try:
        with path.open("rb") as file:
            contents = file.read(_MOST_BYTES + 1)
        if len(contents) > _MOST_BYTES:
            raise UserError(
                f"has more than {_MOST_BYTES:,} bytes", where=name, fix="give a configuration of this command"
            )
        loader = yaml.SafeLoader(contents)
        node = loader.get_single_node()
        _check_nodes(node, name)
        values = loader.construct_document(node) if node is not None else None
    except FileNotFoundError:
        fix = f"give a {_config_advice(schema)}"
        raise UserError(f"there is no configuration {name!r}", where="--config", fix=fix) from None
    except OSError as error:
        raise UserError(f"cannot read {name!r}: {error.strerror}", where="--config") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        fix = "correct the indentation, quotes or colons there"
        raise UserError(f"not valid YAML: {error.problem or error.context}", where=where, fix=fix) from error
    except RecursionError as error:
        raise UserError("is nested too deeply", where=name, fix="a configuration is sections of fields") from error
    except (yaml.YAMLError, ValueError) as error:  # bytes that are not text; a date that does not exist
        raise UserError(f"not valid YAML: {error}", where=name) from error
    except (AttributeError, LookupError) as error:  # of PyYAML, for values such as `!!bool x`
        raise UserError("not valid YAML: a value does not fit its tag", where=name, fix="remove the tag") from error
    if values is None:
        return {}, _Sources(name)  # empty, or comments only
    if not isinstance(values, dict):
        raise UserError("is not a mapping", where=name, fix="a configuration is lines of `field: value`")
    if name in _shipped() and not _fits(schema, values):
        what = f"the configuration {name!r} is for other commands"
        raise UserError(what, where="--config", fix=f"give a {_config_advice(schema)}")
    sources = _Sources(name)
    _note_lines(node, schema, (), sources)
    return values, sources


def _check_nodes(root: yaml.Node | None, name: str) -> None:
    """Refuse what takes more time or memory than the size of the file: aliases, and numbers with very many digits."""
    import yaml

    seen: set[int] = set()
    left = [] if root is None else [root]
    while left:
        node = left.pop()
        where = f"{name}:{node.start_mark.line + 1}"
        if id(node) in seen:
            fix = "write the value out each time"
            raise UserError("a value is used again by an alias, such as *name", where=where, fix=fix)
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            left += [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
        elif len(node.value) > _MOST_DIGITS and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            raise UserError(f"a number has more than {_MOST_DIGITS} digits", where=where, fix="put text in quotes")


def _note_lines(node: yaml.Node | None, schema: type[pydantic.BaseModel], above: FieldPath, sources: _Sources) -> None:
    """Enter the line of each field below a node, and refuse equal keys, of which YAML would use the last."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return  # no section, which validation will say
    for key, value in node.value:
        path, line = (*above, str(key.value)), key.start_mark.line + 1
        if path in sources.lines:
            what = f"{'.'.join(path)} is set twice, first in line {sources.lines[path]}"
            raise UserError(what, where=f"{sources.name}:{line}", fix="remove one of the two")
        sources.lines[path] = line
        info = schema.model_fields.get(path[-1])
        section = schema_section(info.annotation) if info else None
        if section is not None:
            _note_lines(value, section, path, sources)


# Mistakes


def _validate(schema: type[Schema], values: dict[str, Any], sources: _Sources) -> Schema:
    try:
        return schema.model_validate(values)
    except pydantic.ValidationError as error:
        # A misspelt field is the likely cause of a missing one, so it goes first.
        first = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _user_error(schema, first, sources) from error


def _user_error(schema: type[Settings], detail: ErrorDetails, sources: _Sources) -> UserError:
    path, sections = _resolve(schema, detail["loc"])
    name, where, kind = sources.options.get(path, ".".join(path)), sources.where(path), detail["type"]
    index = next((part for part in detail["loc"][len(path) :] if isinstance(part, int)), None)
    subject = name if index is None else f"item {index + 1} of {name}"
    if kind in ("extra_forbidden", "invalid_key"):
        names = [".".join(leaf[:depth]) for leaf in schema_leaves(schema) for depth in range(1, len(leaf) + 1)]
        advice = f"fields there: {', '.join(sections[len(path) - 1].model_fields)}"
        return UserError(f"unknown field {name}", where=where, fix=nearest(name, names, advice))
    if kind == "missing":
        if index is not None:
            return UserError(f"{subject} is missing", where=where)
        options = [option_of(leaf) for leaf in schema_leaves(schema) if leaf[: len(path)] == path]
        give = name if path == (sources.positional,) else ", ".join(options)
        return UserError(f"{name} is required", where=where, fix=f"give {give}, or {name} in a configuration file")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if len(sections) > len(path):  # the path ends at a section
        if isinstance(detail["input"], (Mapping, pydantic.BaseModel)):
            return UserError(message, where=where or name)  # a rule between fields, so no single value is to blame
        message = f"it should be a section with the fields {', '.join(sections[-1].model_fields)}"
    message = _PLAINER.get(kind, re.sub(r"^\w+ should", "it should", message))
    shown = "null" if detail["input"] is None else repr(detail["input"])
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return UserError(f"{subject} is {shown}", where=where, fix=message)


def _resolve(
    schema: type[pydantic.BaseModel], location: tuple[int | str, ...]
) -> tuple[FieldPath, list[type[pydantic.BaseModel]]]:
    """Names in an error's location up to the field or unknown name, and the sections that they pass through."""
    path: list[str] = []
    sections = [schema]
    for part in location:
        if len(sections) == len(path):
            break  # the last name is a field; what follows lies within its value
        info = sections[-1].model_fields.get(str(part))
        section = schema_section(info.annotation) if info else None
        path.append(str(part))
        sections += [section] if section is not None else []
    return tuple(path), sections
