"""Text files in other encodings than UTF-8."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.encodings import as_utf8, detect
from kpray.corpus.files import say_encodings
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.records import read_records
from kpray.corpus.sources import find_sources
from kpray.document import Record
from kpray.errors import UserError

GERMAN = "Die Wärmepumpe überträgt „Wärme“ aus dem Boden in die Häuser."


@pytest.mark.parametrize(
    ("text", "encoding", "detected"),
    [
        ("", "utf-8", "utf-8"),
        ("plain", "ascii", "utf-8"),
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "cp1252", "cp1252"),
        ("The café owner’s “heat pump” – cheap.", "cp1252", "cp1252"),
        ("café", "latin-1", "cp1252"),
        ("Los paneles solares pierden energía; también el año próximo.", "cp1252", "cp1252"),
        ("Wydajność paneli słonecznych zmniejsza się, gdy kurz pokrywa szkło.", "cp1250", "cp1250"),
        ("Солнечные панели теряют мощность из-за пыли на стекле.", "cp1251", "cp1251"),
        ("Солнечные панели теряют мощность из-за пыли на стекле.", "koi8-r", "koi8_r"),
        ("太陽光パネルはガラスの上のほこりで出力が低下する。", "shift_jis", "cp932"),
        ("太阳能电池板因灰尘而失去输出功率。", "gb18030", "gb18030"),
        ("태양광 패널은 유리 위의 먼지로 인해 출력이 감소한다.", "euc_kr", "cp949"),
        (GERMAN, "utf-16", "utf-16"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-32", "utf-32"),
    ],
)
def test_encoding_is_detected(text: str, encoding: str, detected: str) -> None:
    found = detect(text.encode(encoding))
    assert found == detected
    assert text.encode(encoding).decode(found).removeprefix("\ufeff") == text


@pytest.mark.parametrize("sample", ["Größe und Maße".encode() + b"\xff", b"\xe9\x00\x01", bytes(range(256))])
def test_damaged_utf8_and_binary_files_stay_utf8(sample: bytes) -> None:
    assert detect(sample) == "utf-8"


def test_a_character_that_the_sample_cuts_is_no_damage() -> None:
    assert detect(("x" + "é" * 40_000).encode()[: 64 * 1024]) == "utf-8"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-be"])
def test_recoded_file_is_read_in_any_blocks_and_again(encoding: str) -> None:
    text = "Größe – Maß\n" * 5000
    file = as_utf8(io.BytesIO(text.encode(encoding)), b"", encoding, "a.txt")
    assert b"".join(iter(lambda: file.read(777), b"")).decode() == text
    file.seek(0)
    assert file.readline() == "Größe – Maß\n".encode()


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.txt", "{}"),
        ("a.md", "{}"),
        ("a.html", "<p>{}</p>"),
        ("a.rst", "{}"),
        ("a.csv", "id;text\n1;{}\n"),
        ("a.tsv", "id\ttext\n1\t{}\n"),
        ("a.jsonl", '{{"id": 1, "text": "{}"}}\n'),
        ("a.json", '[{{"id": 1, "text": "{}"}}]'),
    ],
)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_every_text_format_in_other_encodings(
    name: str, contents: str, encoding: str, read: Any, bodies: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bodies(read(name, contents.format(GERMAN).encode(encoding))) == [GERMAN]
    said = capsys.readouterr().err
    if encoding == "cp1252":
        assert said.count("is not UTF-8; read as Windows-1252 (--encoding names another)\n") == len(said.splitlines())
        assert name in said
    else:
        assert said == ""


def test_declared_encoding_of_a_page_counts(read: Any, bodies: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = '<meta charset="iso-8859-2"><p>Źródło ciepła</p>'
    assert bodies(read("a.html", page.encode("iso-8859-2"))) == ["Źródło ciepła"]
    assert capsys.readouterr().err == ""


def test_named_encoding(tmp_path: Path, bodies: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_bytes("l’été".encode("mac_roman"))
    (tmp_path / "b.jsonl").write_bytes('{"text": "été"}\n'.encode("mac_roman"))
    records = list(read_records([str(tmp_path)], encoding="mac_roman"))
    assert bodies(records) == ["l’été", "été"]
    assert capsys.readouterr().err == ""


def test_bytes_that_the_named_encoding_does_not_allow_reject_only_their_record(tmp_path: Path, bodies: Any) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n{"text": "\xe9"}\n{"text": "fine"}\n')
    assert bodies(list(read_records([str(tmp_path)], encoding="shift_jis"))) == [
        "good",
        "2: not UTF-8 at byte 11",
        "fine",
    ]


def test_encodings_of_many_files_are_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_bytes(GERMAN.encode("cp1252"))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(f"text\n{GERMAN}\n".encode("cp1252")))
    (tmp_path / "c.txt").write_bytes("太陽光パネルはガラスの上のほこりで出力が低下する。".encode("shift_jis"))
    (tmp_path / "d.txt").write_text("plain")
    (tmp_path / "e.pdf").write_bytes(b"\xe9")
    sources = find_sources([str(tmp_path)])
    say_encodings(sources, Reading(encoding="cp1252"))
    say_encodings(sources[3:], Reading())
    assert capsys.readouterr().err == ""
    say_encodings(sources, Reading())
    assert capsys.readouterr().err == (
        "kpray: 3 of 4 files are not UTF-8; read as Windows-1252 (2), Shift JIS (1) (--encoding names another)\n"
    )


def test_unknown_encoding_is_a_user_error() -> None:
    with pytest.raises(UserError, match="unknown encoding: give one that Python has"):
        read_records([], encoding="utf-99")


def test_reading_options_reach_the_readers() -> None:
    reading = Reading(lang="de", limits=Limits(max_characters=3), keep=("a",), gold=False)
    assert reading.reading(keep=("a",), gold=False) == reading


def test_installed_text_in_an_old_encoding() -> None:
    file = Path("/usr/share/doc/debian-history/dedication/dedication-2.2.de.txt")
    if not file.exists():
        pytest.skip("needs the package debian-history")
    [record] = read_records([str(file)])
    assert isinstance(record, Record)
    assert "großen" in record.document.body
