"""The identity of input files. An output folder is bound to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kpray.cluster.inputs import check_apart, check_inputs, identify, identify_options, step_inputs
from kpray.corpus.sources import find_sources
from kpray.errors import UserError
from kpray.storage import location
from tests.commands import RunHere

MIB = 1 << 20


def test_an_edit_of_the_same_size_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"a" * MIB)
    os.utime(file, ns=(1, 1))
    before = identify(find_sources([str(file)]))
    for position in (0, MIB // 2, MIB - 1):
        text = bytearray(b"a" * MIB)
        text[position] = ord("b")
        file.write_bytes(text)
        os.utime(file, ns=(1, 1))
        with pytest.raises(UserError, match=r"^a.txt: the input has changed"):
            check_inputs(before, identify(find_sources([str(file)])), tmp_path)


def test_a_copy_is_the_same_file_while_its_whole_checksum_is_known(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_bytes(b"a" * MIB)
    (tmp_path / "large.txt").write_bytes(b"a" * (MIB + 1))
    (tmp_path / "empty.txt").touch()
    before = identify(find_sources([str(tmp_path)]))
    assert before == identify(find_sources([str(tmp_path)]))
    for name in ("small.txt", "empty.txt"):
        os.utime(tmp_path / name, ns=(1, 1))
    check_inputs(before, identify(find_sources([str(tmp_path)])), tmp_path)
    os.utime(tmp_path / "large.txt", ns=(1, 1))
    with pytest.raises(UserError, match=r"^large.txt: the input may have changed"):
        check_inputs(before, identify(find_sources([str(tmp_path)])), tmp_path)


def test_files_of_several_options(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    options = {"train": [str(tmp_path / "one")], "valid": [str(tmp_path / "two/a.txt")], "exclude": []}
    before = identify_options(options)
    assert list(before) == ["--train a.txt", "--valid a.txt"]
    (tmp_path / "two/a.txt").write_text("six")
    with pytest.raises(UserError, match=r"^--valid a.txt: the input has changed since this output was started"):
        check_inputs(before, identify_options(options), tmp_path)


def test_inputs_of_a_step(tmp_path: Path) -> None:
    """The modification time counts for large files only, whose checksum does not cover all of them."""
    (tmp_path / "a.txt").write_bytes(b"a" * MIB)
    (tmp_path / "b.txt").write_bytes(b"b" * (MIB + 1))
    before = step_inputs(identify(find_sources([str(tmp_path)])))
    assert [file[:2] for file in before] == [["a.txt", MIB], ["b.txt", MIB + 1]]
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    assert step_inputs(identify(find_sources([str(tmp_path)]))) == before
    os.utime(tmp_path / "b.txt", ns=(1, 1))
    assert step_inputs(identify(find_sources([str(tmp_path)]))) != before
    (tmp_path / "a.txt").write_bytes(b"a" * (MIB - 1) + b"b")
    assert step_inputs(identify(find_sources([str(tmp_path)])))[0] != before[0]


@pytest.mark.parametrize(
    ("given", "output", "inner"),
    [
        ("corpus", "corpus", "corpus"),
        ("corpus", "corpus/out", "corpus/out"),
        ("corpus/../corpus", "corpus/out", "corpus/out"),
        ("out/a.jsonl", "out", "out/a.jsonl"),
        ("s3://b/corpus", "s3://b/corpus/out/", "s3://b/corpus/out"),
        ("s3://b/out/x", "s3://b/out", "s3://b/out/x"),
    ],
)
def test_inputs_and_output_are_apart(given: str, output: str, inner: str) -> None:
    with pytest.raises(UserError, match=f"^{inner}: the input and the output must not contain each other"):
        check_apart([given], location(output))


@pytest.mark.parametrize(("given", "output"), [("corpus", "corpus2"), ("a/in", "a/out"), ("s3://b/in", "b/in")])
def test_neighbours_are_apart(given: str, output: str) -> None:
    check_apart([given], location(output))


def test_batch_refuses_an_output_in_its_input(tmp_path: Path, kpray: RunHere) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    ended = kpray("batch", "--input", tmp_path, "--output", tmp_path / "out")
    assert ended.code == 2
    assert "must not contain each other" in ended.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
