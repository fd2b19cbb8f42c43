from __future__ import annotations

import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pydantic
import pytest
from hypothesis import example, given, settings

import kpray.settings
from kpray.settings import Settings, dump_settings, validate_settings
from tests.settings_schemas import FilesJob, Heads, Job, Optim, files_job, job, message


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "job.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_command_line_types() -> None:
    arguments = "--input a/b.jsonl --optim.lr 3e-5 --optim.warmup-steps=7 --optim.stage 3 --dry-run --label x"
    read = job(
        *arguments.split(), "--samrank.names", "4-12", "2-3", "--samrank.range", "3", "5", "--samrank.mode=global"
    )
    assert read == Job(
        input=Path("a/b.jsonl"),
        label="x",
        dry_run=True,
        optim=Optim(lr=3e-5, warmup_steps=7, stage=3),
        samrank=Heads(names=("4-12", "2-3"), range=(3, 5), mode="global"),
    )


def test_defaults_then_file_then_command_line(write: Callable[[str], str]) -> None:
    config = write("input: a\nlabel: from file\noptim:\n  lr: 3e-5\n  warmup_steps: 5\n")
    read = job("--config", config, "--optim.warmup-steps", "6")
    assert (read.optim.stage, read.optim.lr, read.optim.warmup_steps, read.label) == (1, 3e-5, 6, "from file")


class Tuned(Settings):
    optim: Optim = Optim(lr=2.0, warmup_steps=9)


class Study(Settings):
    tuned: Tuned = Tuned(optim=Optim(lr=3.0))
    plain: Tuned = Tuned()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"tuned": {}}, Study()),
        ({"tuned": {"optim": {"stage": 3}}}, Study(tuned=Tuned(optim=Optim(lr=3.0, stage=3)))),
        ({"plain": {"optim": {"lr": 4}}}, Study(plain=Tuned(optim=Optim(lr=4.0, warmup_steps=9)))),
    ],
)
def test_section_given_in_part_keeps_its_default(given: dict[str, dict[str, object]], expected: Study) -> None:
    read = validate_settings(Study, given, where="here")
    assert read == expected
    assert read.model_fields_set == given.keys()
    assert read.plain.model_fields_set == given.get("plain", {}).keys()  # what nobody set does not count as set


@pytest.mark.parametrize("empty", ["", "# only a comment\n", "{}"])
def test_empty_file(write: Callable[[str], str], empty: str) -> None:
    assert job("--config", write(empty), "--input", "a") == Job(input=Path("a"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--optim.amp"], True),
        (["--optim.amp", "true"], True),
        (["--optim.amp=True"], True),
        (["--optim.amp", "false"], False),
        (["--optim.no-amp"], False),
        ([], True),  # as the file has it
    ],
)
def test_switch(write: Callable[[str], str], arguments: list[str], expected: bool) -> None:
    assert job("--config", write("input: a\noptim: {amp: true}"), *arguments).optim.amp is expected


def test_underscores_and_hyphens_are_one() -> None:
    assert job("--input", "a", "--dry_run", "--optim.warmup_steps", "3").optim.warmup_steps == 3
    assert job("--input", "a_b", "--label=c_d").label == "c_d"


def test_none_and_the_last_of_two(write: Callable[[str], str]) -> None:
    config = write("input: a\nlabel: text")
    assert job("--config", config, "--label", "none").label is None
    assert job("--config", config, "--label", "b", "--label", "c").label == "c"
    assert job("--config", config, "--input", "none").input == Path("none")  # which may not be None


def test_positional_arguments() -> None:
    assert files_job("a.txt", "--top", "3", "-") == FilesJob(files=(Path("a.txt"), Path("-")), top=3)
    assert files_job("--explain", "a.txt") == FilesJob(files=(Path("a.txt"),), explain=True)
    assert message(files_job) == "files is required (give files, or files in a configuration file)"


def test_frozen_and_picklable() -> None:
    read = job("--input", "a")
    with pytest.raises(pydantic.ValidationError):
        read.label = "b"
    assert pickle.loads(pickle.dumps(read)) == read


COMMAND_LINE_MISTAKES = {
    "": "input is required (give --input, or input in a configuration file)",
    "--input": "--input: expected 1 argument (see --help; a value that begins with - is written --option=VALUE)",
    "--inptu a": "unknown option --inptu (did you mean --input?)",
    "--input a --lr 1": "unknown option --lr (did you mean --optim.lr?)",
    "--input a --optim.no-ampp": "unknown option --optim.no-ampp (did you mean --optim.no-amp?)",
    "--optim.lr=1 --xyzzy=2": "unknown option --xyzzy (see --help)",
    "--input a b": "unexpected argument 'b' (every value follows an option; see --help)",
    "--input a --optim.lr 0": "--optim.lr is '0' (it should be greater than 0)",
    "--input a --optim.lr nan": "--optim.lr is 'nan' (it should be a finite number)",
    "--input a --optim.warmup-steps x": "--optim.warmup-steps is 'x' (it should be an integer)",
    "--input a --optim.stage 4": "--optim.stage is '4' (it should be 0, 1, 2 or 3)",
    "--input a --samrank.mode glob": "--samrank.mode is 'glob' (it should be 'both', 'global' or 'proportional')",
    "--input a --samrank.names 1-2 12": r"item 2 of --samrank.names is '12' (it should match pattern '^\d+-\d+$')",
    "--input a --samrank.range 3": "item 2 of --samrank.range is missing",
    "--input a --samrank.range 3 2": "samrank: range goes backward: 3 to 2",
    "--input a --optim.amp=maybe": "--optim.amp is 'maybe' (it should be true or false)",
    "--config none.yaml": "--config: there is no configuration 'none.yaml' (give a YAML file with values for these "
    "options, or one of: small)",
    "--config .": "--config: cannot read '.': Is a directory",
}


@pytest.mark.parametrize("arguments", COMMAND_LINE_MISTAKES)
def test_mistakes_on_the_command_line(arguments: str, shipped: None) -> None:
    assert message(lambda: job(*arguments.split())) == COMMAND_LINE_MISTAKES[arguments]


MEND = "(correct the indentation, quotes or colons there)"
FILE_MISTAKES = {
    "input: a\noptim:\n  lrr: 1\n": "FILE:3: unknown field optim.lrr (did you mean optim.lr?)",
    "input: a\nlr: 1\n": "FILE:2: unknown field lr (did you mean optim.lr?)",
    "inptu: a\n": "FILE:1: unknown field inptu (did you mean input?)",  # rather than that input is missing
    "input: a\noptim:\n  xyzzy: 1": "FILE:3: unknown field optim.xyzzy (fields there: lr, warmup_steps, amp, stage)",
    "1: a\ninput: a": "FILE:1: unknown field 1 (fields there: input, label, dry_run, optim, samrank)",
    "label: a\n": "FILE: input is required (give --input, or input in a configuration file)",
    "input: a\nsamrank:\n  names:\n    - 1-2\n    - 12\n": "FILE:3: item 2 of samrank.names is 12 "
    "(it should be a string: put it in quotes)",
    "input: a\nlabel: no\n": "FILE:2: label is False (it should be a string: put it in quotes)",
    "input: a\nlabel: {b: c}\n": "FILE:2: label is {'b': 'c'} (it should be a string: put it in quotes)",
    "input: null": "FILE:1: input is null (it should be a path)",
    "input: a\n\noptim: 3\n": "FILE:3: optim is 3 "
    "(it should be a section with the fields lr, warmup_steps, amp, stage)",
    "input: a\nsamrank:\n  range: [3, 2]\n": "FILE:2: range goes backward: 3 to 2",
    "input: a\nsamrank:\n  range: [3, 2, 1]\n": "FILE:3: samrank.range is [3, 2, 1] "
    "(it should have at most 2 items after validation, not 3)",
    "input: a\ninput: b\n": "FILE:2: input is set twice, first in line 1 (remove one of the two)",
    "optim:\n  lr: 1\n  lr: 2\n": "FILE:3: optim.lr is set twice, first in line 2 (remove one of the two)",
    "- input\n": "FILE: is not a mapping (a configuration is lines of `field: value`)",
    "optim: {lr: 1\n": f"FILE:2:1: not valid YAML: expected ',' or '}}', but got '<stream end>' {MEND}",
    "input: !!python/name:os.system\n": "FILE:1:8: not valid YAML: could not determine a constructor for the tag "
    f"'tag:yaml.org,2002:python/name:os.system' {MEND}",
    "input: 2020-13-45\n": "FILE: not valid YAML: month must be in 1..12",
    "input: a\nlabel: !!bool x\n": "FILE: not valid YAML: a value does not fit its tag (remove the tag)",
    "input: a\nlabel: !!timestamp x\n": "FILE: not valid YAML: a value does not fit its tag (remove the tag)",
    "input: &name a\nlabel: *name\n": "FILE:1: a value is used again by an alias, such as *name "
    "(write the value out each time)",
    "input: &name [*name]\n": "FILE:1: a value is used again by an alias, such as *name "
    "(write the value out each time)",
    f"input: a\nsamrank:\n  range: [{'1' * 101}, 2]\n": "FILE:3: a number has more than 100 digits "
    "(put text in quotes)",
}


@pytest.mark.parametrize("text", FILE_MISTAKES)
def test_mistakes_in_the_file(write: Callable[[str], str], text: str) -> None:
    config = write(text)
    assert message(lambda: job("--config", config)).replace(config, "FILE") == FILE_MISTAKES[text]


BOMBS = {
    "aliases": "".join(
        ["a0: &a0 [" + "x, " * 9 + "]\n", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))]
    ),
    "brackets": "input: " + "[" * 500_000,
    "closed brackets": "input: " + "[" * 50_000 + "]" * 50_000,
    "braces": "input: " + "{a: " * 100_000,
    "dashes": "input:\n  " + "- " * 200_000,
    "base 60": "input: 1" + ":1" * 400_000,
    "hexadecimal": "input: 0x" + "f" * 900_000,
    "digits": "input: " + "9" * 900_000,
    "size": "#" * (1 << 20) + "\ninput: a",
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_take_little_time_and_memory(name: str, write: Callable[[str], str]) -> None:
    config, started = write(BOMBS[name]), time.process_time()
    found = message(lambda: job("--config", config))
    assert found.startswith(f"{config}:")
    assert len(found) < 300 + len(config)
    assert time.process_time() - started < 20


def test_configuration_without_end() -> None:
    assert message(lambda: job("--config", "/dev/zero")).startswith("/dev/zero: has more than 1,048,576 bytes (")


@pytest.mark.parametrize("content", [b"input: \xff\xfe\xfa", b"input: \0"])
def test_file_that_is_not_text(tmp_path: Path, content: bytes) -> None:
    config = tmp_path / "job.yaml"
    config.write_bytes(content)
    assert message(lambda: job("--config", str(config))).startswith(f"{config}: not valid YAML: ")


def test_command_line_mends_a_wrong_value_of_the_file_but_not_a_wrong_section(write: Callable[[str], str]) -> None:
    assert job("--config", write("input: a\noptim: {lr: -1}"), "--optim.lr", "1").optim.lr == 1
    config = write("input: a\noptim: 3")
    assert "job.yaml:2: optim is 3" in message(lambda: job("--config", config, "--optim.lr", "1"))


def test_long_values_are_cut() -> None:
    assert len(message(lambda: job("--input", "a", "--optim.lr", "9" * 5000 + "x"))) < 300


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "configurations"
    folder.mkdir()
    (folder / "small.yaml").write_text("input: a\nlabel: small one\n")
    (folder / "large.yaml").write_text("input: a\nlabell: large one\n")
    monkeypatch.setattr(kpray.settings, "CONFIGURATIONS", folder)


def test_configuration_that_ships(shipped: None) -> None:
    assert job("--config", "small", "--optim.lr=1").label == "small one"
    assert message(lambda: job("--config", "large")) == (
        "--config: the configuration 'large' is for other commands (give a YAML file with values for these options, or "
        "one of: small)"
    )


def test_configuration_that_does_not_fit_is_not_offered(shipped: None) -> None:
    found = message(lambda: files_job("--config", "small"))
    assert found.endswith("'small' is for other commands (give a YAML file with values for these options)")


@pytest.mark.parametrize("none", ["none", "None", "null", "NULL", "'null'", "~", ""])
def test_none_in_a_file(none: str, write: Callable[[str], str]) -> None:
    assert job("--config", write(f"input: a\nlabel: {none}")).label is None


def test_none_in_a_file_where_the_field_takes_none(write: Callable[[str], str]) -> None:
    assert job("--config", write("input: none")).input == Path("none")


def test_none_from_elsewhere() -> None:
    assert validate_settings(Job, {"input": "a", "label": "None"}, where="kpray.json").label is None


def test_values_from_elsewhere() -> None:
    assert validate_settings(Job, {"input": "a", "optim": {"lr": 1}}, where="kpray.json") == Job(
        input=Path("a"), optim=Optim(lr=1)
    )
    found = message(lambda: validate_settings(Job, {"input": "a", "top": 1}, where="kpray.json"))
    assert found == "kpray.json: unknown field top (fields there: input, label, dry_run, optim, samrank)"


def test_help_shows_every_field(capsys: pytest.CaptureFixture[str], shipped: None) -> None:
    with pytest.raises(SystemExit) as exited:
        job("--help", "--nonsense")
    assert exited.value.code == 0
    shown = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "Does a job." in shown
    for option, text in [
        ("--config FILE", "options, or one of: small."),
        ("--input PATH", "File to read. (required)"),
        ("--dry-run, --no-dry-run", "start nothing. (default: False)"),
        ("--optim.lr FLOAT", "Peak learning rate. (default: 1e-05)"),
        ("--optim.amp, --optim.no-amp", "Compute in bfloat16. (default: False)"),
        ("--optim.stage {0,1,2,3}", "ZeRO stage. (default: 1)"),
        ("--samrank.mode {both,global,proportional}", "Which scores to add. (default: both)"),
        ("--samrank.names STR ...", "both from 1. (default: 4-12)"),
    ]:
        assert option in shown
        assert text in shown


def test_help_shows_positional_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        files_job("-h")
    shown = capsys.readouterr().out
    assert "FILES" in shown.upper()
    assert "--files" not in shown


paths = st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(Path)
heads = st.from_regex(r"[0-9]+-[0-9]+", fullmatch=True)
pairs = st.tuples(st.integers(), st.integers()).filter(lambda pair: pair[0] <= pair[1])
jobs = st.builds(
    Job,
    input=paths,
    label=st.none() | st.text(max_size=1000),
    dry_run=st.booleans(),
    optim=st.builds(
        Optim,
        lr=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        warmup_steps=st.integers(0, 1000),
        amp=st.booleans(),
        stage=st.sampled_from([0, 1, 2, 3]),
    ),
    samrank=st.builds(
        Heads,
        names=st.lists(heads).map(tuple),
        mode=st.sampled_from(["both", "global", "proportional"]),
        range=pairs,
    ),
)


@settings(deadline=None)
@given(jobs)
@example(Job(input=Path("文件\u2028"), label="\x85"))
def test_dump_reads_back(tmp_path_factory: pytest.TempPathFactory, dumped: Job) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    text = dump_settings(dumped)
    path.write_text(text, encoding="utf-8", newline="")
    assert job("--config", str(path)) == dumped
    assert dump_settings(job("--config", str(path))) == text
    sections = [line.split(":")[0] for line in text.splitlines() if re.match(r"(input|dry_run|optim|samrank):", line)]
    assert sections == ["input", "dry_run", "optim", "samrank"]  # the schema's order
