from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from kpray.corpus.limits import Reading
from kpray.corpus.records import Reject, read_records
from kpray.corpus.sources import FORMATS, find_sources, short_names
from kpray.document import Record
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
    sources = find_sources([str(tmp_path / "in")], follow_links=True)
    assert [source.name.removeprefix(f"{tmp_path}/") for source in sources] == ["in/a.txt", "in/link/b.txt"]


def test_links_out_of_the_folder_are_rejected_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/a.txt", "in/sub/b.txt", "elsewhere/c.txt", "in-secret/d.txt")
    for name, target in {
        "sub/inside.txt": "in/a.txt",
        "file.txt": "elsewhere/c.txt",
        "folder": "elsewhere",
        "similar": "in-secret",
    }.items():
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    (tmp_path / "given").symlink_to(tmp_path / "in")  # a link that is given by name is followed
    monkeypatch.chdir(tmp_path)
    out = "a link out of the folder (--follow-links reads it)"
    for given in ("in", "given"):
        assert {source.name: source.problem for source in find_sources([given])} == {
            f"{given}/a.txt": "",
            f"{given}/file.txt": out,
            f"{given}/folder": out,
            f"{given}/similar": out,
            f"{given}/sub/b.txt": "",
            f"{given}/sub/inside.txt": "",
        }
    followed = find_sources(["in"], follow_links=True)
    assert [source.name for source in followed] == [
        *("in/a.txt", "in/file.txt", "in/folder/c.txt", "in/similar/d.txt", "in/sub/b.txt", "in/sub/inside.txt"),
    ]
    assert not any(source.problem for source in followed)


def test_what_is_no_file_in_a_folder_is_rejected_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/a.txt")
    monkeypatch.chdir(tmp_path / "in")
    os.mkfifo("pipe.jsonl")
    os.symlink("absent.txt", "broken.txt")
    os.symlink("loop.txt", "loop.txt")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("in/socket.txt")
        results = list(read_records(["in"], Reading(lang="en")))
    assert [f"{each.source}:{each.line}: {each.reason}" for each in results if isinstance(each, Reject)] == [
        "in/broken.txt:1: a broken link: No such file or directory",
        "in/loop.txt:1: a link that leads to itself",
        "in/pipe.jsonl:1: a pipe, not a file",
        "in/socket.txt:1: a socket, not a file",
    ]
    assert [each.source for each in results if isinstance(each, Record)] == ["in/a.txt"]


def test_control_characters_in_names_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hostile, shown = "in/\x1b[2Ja\nb\u202ec\x9b.txt", r"in/\x1b[2Ja\nb\u202ec\x9b.txt"
    touch(tmp_path, hostile)
    [source] = find_sources(["in"])
    assert (source.name, source.path) == (shown, str(tmp_path / hostile))
    with pytest.raises(UserError) as raised:
        find_sources([f"{hostile}.png"])
    assert str(raised.value).startswith(f"{shown}.png: no such file")


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
        ("broken/gone.txt", "broken/gone.txt: no such file"),
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
