from __future__ import annotations

import os
from pathlib import Path

import pytest

from kpray.corpus.sources import FORMATS, find_sources, short_names
from kpray.errors import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")


@pytest.mark.parametrize(("suffix", "format"), FORMATS.items())
def test_format_follows_the_suffix_in_any_case(tmp_path: Path, suffix: str, format: str) -> None:
    touch(tmp_path, f"a.b{suffix.upper()}")
    [source] = find_sources([str(tmp_path / f"a.b{suffix.upper()}")])
    assert (source.format, source.bytes) == (format, 2)


def test_folder_is_listed_recursively_and_sorted_without_hidden_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "in", "b.jsonl", "a/z.csv", "a/y/x.txt", ".hidden.txt", "_log.txt", ".git/c.txt", "_tmp/c.txt")
    touch(tmp_path / "in", "picture.png", "README", "a.gz")
    monkeypatch.chdir(tmp_path)
    for given in ("in", "in/"):
        sources = find_sources([given])
        assert [(source.name, source.format) for source in sources] == [
            ("in/README", "unknown"),
            ("in/a.gz", "unknown"),
            ("in/a/y/x.txt", "text"),
            ("in/a/z.csv", "csv"),
            ("in/b.jsonl", "jsonl"),
            ("in/picture.png", "unknown"),
        ]
        assert all(os.path.isabs(source.path) and os.path.isfile(source.path) for source in sources)


def test_paths_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "b.txt", "a.txt", "_named.txt")
    monkeypatch.chdir(tmp_path)
    assert [source.name for source in find_sources(["b.txt", "a.txt", "_named.txt"])] == [
        "b.txt",
        "a.txt",
        "_named.txt",
    ]


def test_linked_folder_is_entered_once(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.txt", "elsewhere/b.txt")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    names = [source.name.removeprefix(f"{tmp_path}/") for source in find_sources([str(tmp_path / "in")])]
    assert names == ["in/a.txt", "in/link/b.txt"]


def test_name_that_is_not_utf8_is_made_printable(tmp_path: Path) -> None:
    path = os.path.join(tmp_path, os.fsdecode(b"caf\xe9.txt"))
    with open(path, "wb") as file:
        file.write(b"text")
    [source] = find_sources([path])
    assert source.name == f"{tmp_path}/caf\\xe9.txt"
    assert source.path == path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jsonl", "absent.jsonl: no such file or folder (known file types: .jsonl"),
        ("picture.png", "picture.png: unknown file type .png (known file types: .jsonl"),
        ("README", "README: unknown file type (the name has no suffix) (known file types"),
        ("empty", "empty: the folder has no file of a known type (known file types"),
        ("only", "only: the folder has no file of a known type (known file types"),
        ("pipe.jsonl", "pipe.jsonl: neither a regular file nor a folder"),
        ("broken", "broken/gone.txt: no such file"),
    ],
)
def test_errors_name_the_unreadable_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    touch(tmp_path, "picture.png", "README", "only/a.png", "only/_b.txt", "broken/a.txt")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "gone.txt").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe.jsonl")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        find_sources([path])
    assert message in str(raised.value)


def test_a_file_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/a.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"^\./in/a\.txt: the file is given twice, also as in/a\.txt \(give each file once\)$"
    ):
        find_sources(["in", "./in/a.txt"])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["data/kp20k.jsonl.gz", "inspec.jsonl"], ["kp20k", "inspec"]),
        (["data/inspec/test.jsonl", "data/nus/test.csv"], ["inspec/test", "nus/test"]),
        (["samrank", "runs/a/best", "runs/b/best"], ["samrank", "a/best", "b/best"]),
        (["/runs/v1.2/best/"], ["best"]),
        (["test.jsonl", "test.csv"], ["test.jsonl", "test.csv"]),
        ([], []),
    ],
)
def test_short_names_are_unique(paths: list[str], names: list[str]) -> None:
    assert short_names(paths) == names


def test_short_name_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_names(["."]) == [tmp_path.name]
    with pytest.raises(UserError, match="the path is given twice"):
        short_names([".", str(tmp_path)])
