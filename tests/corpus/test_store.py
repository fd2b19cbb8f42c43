"""Records in one memory-mapped file: all fields are kept, ids are found, and a folder is complete or absent."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.checksums import checksum
from kpray.corpus import store as module
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.records import read_records
from kpray.corpus.store import PassageStore, build_store
from kpray.document import Document, Record
from kpray.errors import UserError

Write = Callable[..., str]

FULL = {
    "id": "E-1",
    "lang": "fr",
    "title": "Résumé",
    "abstract": "First.",
    "text": "Second 深 line.",
    "keyphrases": ["b phrase", "a phrase"],
    "keyphrases_stem": ["b phrase", ""],
    "english_ids": ["7", "6"],
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes objects, or raw lines, to a JSON lines file and returns its path."""

    def write_lines(name: str, *lines: dict[str, Any] | str) -> str:
        path = tmp_path / name
        path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
        return str(path)

    return write_lines


def passages(count: int, lang: str = "en") -> list[dict[str, Any]]:
    return [{"id": f"p{number}", "lang": lang, "text": f"Text {number}."} for number in range(count)]


def test_round_trip_of_all_fields(write: Write, tmp_path: Path) -> None:
    bare = {"text": "A text alone."}
    paths = [write("a.jsonl", FULL, bare), write("b.jsonl", {"id": 0, "title": "T", "keyphrases_stem": []})]
    store = build_store(paths, tmp_path / "store", Reading(lang="de"))
    records = [store.record(row) for row in range(len(store))]
    assert records == list(read_records(paths, lang="de"))
    assert records[0] == Record(
        Document("E-1", "First.\nSecond 深 line.", "Résumé", "fr"),
        ("b phrase", "a phrase"),
        ("b phrase",),
        paths[0],
        1,
        ("7", "6"),
    )
    assert records[1].document.id == f"{paths[0]}:2"
    assert (records[1].stemmed, records[2].stemmed) == (None, ())
    assert [record.document.lang for record in records] == ["fr", "de", "de"]


texts = st.text(st.characters(codec="utf-8"), max_size=8)
objects = st.fixed_dictionaries(
    {"title": texts, "text": texts, "lang": texts, "keyphrases": st.lists(texts, max_size=3)},
    optional={"keyphrases_stem": st.lists(texts, max_size=2), "english_ids": st.lists(texts, max_size=2)},
)


@settings(max_examples=30)
@given(fields=st.dictionaries(texts, objects, min_size=1, max_size=12))
def test_round_trip_of_any_records(fields: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.jsonl").write_text("".join(json.dumps({"id": id, **rest}) + "\n" for id, rest in fields.items()))
    store = build_store([str(folder / "a.jsonl")], folder / "store")
    records = [record for record in read_records([str(folder / "a.jsonl")]) if isinstance(record, Record)]
    assert [store.record(row) for row in range(len(store))] == records
    for row, record in enumerate(records):
        assert store.rows(record.document.lang, [record.document.id]).tolist() == [row]


def test_look_up_over_several_batches(write: Write, tmp_path: Path) -> None:
    count = 2 * module._BATCH_ROWS + 3
    store = build_store([write("a.jsonl", *passages(count)), write("b.jsonl", *passages(2, "fr"))], tmp_path / "store")
    assert len(store) == count + 2
    found = store.rows("en", [f"p{number}" for number in reversed(range(count))])
    assert found.dtype == np.int64
    assert found.tolist() == list(reversed(range(count)))
    assert [store.record(row).document.id for row in (0, 255, 256, 511, 512, count - 1)] == [
        "p0", "p255", "p256", "p511", "p512", f"p{count - 1}"
    ]  # fmt: skip
    assert store.rows("fr", ["p1", "p0", "p2"]).tolist() == [count + 1, count, -1]
    assert store.rows("en", ["", "p", "P0", "p0 ", "\ud800", "p0", "p0"]).tolist() == [-1, -1, -1, -1, -1, 0, 0]
    assert store.rows("de", ["p0"]).tolist() == [-1]
    assert store.rows("en", []).shape == (0,)


def test_hash_collisions_of_language_and_id(write: Write, tmp_path: Path) -> None:
    """Both pairs have the same hash, because language and id are joined with NUL."""
    lines = [{"lang": "a\0b", "id": "c", "text": "1"}, {"lang": "a", "id": "b\0c", "text": "2"}]
    store = build_store([write("a.jsonl", *lines)], tmp_path / "store")
    assert store.rows("a\0b", ["c"]).tolist() == [0]
    assert store.rows("a", ["b\0c"]).tolist() == [1]


@pytest.mark.parametrize("hashed", [lambda lang, id: 7, lambda lang, id: (1 << 64) - 1 - len(id)])
def test_ids_with_the_same_hash(
    hashed: Callable[[str, str], int], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_key", hashed)
    store = build_store([write("a.jsonl", *passages(20), *passages(3, "fr"))], tmp_path / "store")
    assert store.rows("en", [f"p{number}" for number in range(21)]).tolist() == [*range(20), -1]
    assert store.rows("fr", ["p2", "p3"]).tolist() == [22, -1]
    with pytest.raises(UserError, match=r"b\.jsonl:2: the id 'p1' of language en was already used in .*b\.jsonl:1 \("):
        build_store([write("b.jsonl", *passages(2)[1:] * 2, *passages(1) * 2)], tmp_path / "twice")


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        (passages(2), passages(2)[1:], 1),
        (passages(600), passages(700)[650:] + passages(600)[300:], 51),
        ([{"id": 1, "text": "a"}, {"id": 2, "text": "a"}], [{"id": "2", "text": "b"}], 1),
    ],
)
def test_a_duplicate_id_is_refused(
    first: list[dict[str, Any]], second: list[dict[str, Any]], line: int, write: Write, tmp_path: Path
) -> None:
    """The error names the first duplicate and its original, and no folder is left."""
    paths = [write("a.jsonl", *first), write("b.jsonl", *second)]
    id = second[line - 1]["id"]
    before = next(number for number, fields in enumerate(first, start=1) if str(fields["id"]) == str(id))
    with pytest.raises(UserError) as caught:
        build_store(paths, tmp_path / "store")
    assert str(caught.value) == (
        f"{paths[1]}:{line}: the id {str(id)!r} of language en was already used in {paths[0]}:{before} "
        "(give every document of a language a unique id)"
    )
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "b.jsonl"]


def test_the_same_id_in_two_languages(write: Write, tmp_path: Path) -> None:
    store = build_store([write("a.jsonl", *passages(1), *passages(1, "fr"))], tmp_path / "store")
    assert (store.rows("en", ["p0"]).tolist(), store.rows("fr", ["p0"]).tolist()) == ([0], [1])


def test_rejects_are_counted_and_written(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", "broken", passages(1)[0], {"id": "x"}, {"text": "long" * 10})
    store = build_store([path], tmp_path / "store", Reading(limits=Limits(max_characters=39)))
    assert (len(store), store.rejected, PassageStore(tmp_path / "store").rejected) == (1, 3, 3)
    rejects = [json.loads(line) for line in (tmp_path / "store" / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["source"], reject["line"]) for reject in rejects] == [(path, 1), (path, 3), (path, 4)]
    assert rejects[0]["reason"].startswith("not JSON")


def test_only_rejects(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", "", {"id": "x"}, "broken")
    with pytest.raises(
        UserError, match=rf"^{path}:2: none of the 2 records can be read; the first one: no text: one of"
    ):
        build_store([path], tmp_path / "store")
    empty = write("b.jsonl")
    with pytest.raises(UserError, match=rf"^{empty}: the input has no records "):
        build_store([empty], tmp_path / "store")
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "b.jsonl"]


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.jsonl: no such file or folder"):
        build_store([str(tmp_path / "absent.jsonl")], tmp_path / "store")
    assert os.listdir(tmp_path) == []


def test_an_interrupted_build_leaves_nothing(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.jsonl", *passages(600))
    parse, left = module._key, 500

    def interrupted(lang: str, id: str) -> int:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return parse(lang, id)

    monkeypatch.setattr(module, "_key", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_store([path], tmp_path / "more" / "store")
    assert not (tmp_path / "more").exists()
    monkeypatch.undo()
    (tmp_path / "more" / ".store.12ab.tmp").mkdir(parents=True)  # left by a build that was killed
    (tmp_path / "more" / ".store.12ab.tmp" / "passages.arrow").write_bytes(b"half")
    assert len(build_store([path], tmp_path / "more" / "store")) == 600
    assert os.listdir(tmp_path / "more") == ["store"]
    assert sorted(os.listdir(tmp_path / "more" / "store")) == [
        "keys.npy", "passages.arrow", "rejects.jsonl", "rows.npy", "store.json"
    ]  # fmt: skip


def test_a_folder_that_is_not_empty_is_left_unchanged(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", *passages(1))
    (tmp_path / "empty").mkdir()
    assert len(build_store([path], tmp_path / "empty")) == 1
    for folder in (tmp_path / "empty", tmp_path, Path(path)):
        with pytest.raises(UserError, match="the folder is not empty"):
            build_store([path], folder)
    assert len(PassageStore(tmp_path / "empty")) == 1


def test_pickling_only_passes_the_folder(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.jsonl", *passages(600))
    monkeypatch.chdir(tmp_path)
    store = build_store([path], Path("store"))
    pickled = pickle.dumps(store)
    assert len(pickled) < 300
    monkeypatch.chdir("/")  # a worker has another current folder
    again = pickle.loads(pickled)
    assert again.folder == store.folder == tmp_path / "store"
    assert (len(again), again.sha256, again.record(599)) == (600, store.sha256, store.record(599))


def test_passages_are_mapped_not_copied(write: Write, tmp_path: Path) -> None:
    body = "a long text " * 1000
    path = write("a.jsonl", *({**fields, "text": body} for fields in passages(600)))
    store = build_store([path], tmp_path / "store")
    before = pa.total_allocated_bytes()
    again = PassageStore(store.folder)
    batch = again._passages.get_batch(1)
    assert batch.nbytes > len(body) * 250
    assert again.record(599).document.body == body.strip()
    assert pa.total_allocated_bytes() - before < len(body)
    assert isinstance(again._keys, np.memmap)
    assert isinstance(again._rows, np.memmap)


def test_checksum_covers_the_contents_of_records(write: Write, tmp_path: Path) -> None:
    def sha256(name: str, *lines: dict[str, Any] | str) -> str:
        return build_store([write(f"{name}.jsonl", *lines)], tmp_path / name).sha256

    first = sha256("a", FULL, *passages(2))
    assert len(first) == 64
    assert sha256("b", "", "broken", FULL, *passages(2)) == first
    assert sha256("c", FULL, *reversed(passages(2))) != first
    changes: Sequence[tuple[str, Any]] = [(name, ["x"] if isinstance(FULL[name], list) else "x") for name in FULL]
    changed = [sha256(name, {**FULL, name: value}, *passages(2)) for name, value in changes]
    assert len({first, *changed}) == 1 + len(FULL)


@pytest.mark.parametrize("row", [-1, 3])
def test_rows_out_of_range(row: int, write: Write, tmp_path: Path) -> None:
    store = build_store([write("a.jsonl", *passages(3))], tmp_path / "store")
    with pytest.raises(IndexError, match=f"row {row} is out of range for a store of 3 records"):
        store.record(row)


@pytest.mark.parametrize("name", ["passages.arrow", "keys.npy", "rows.npy"])
@pytest.mark.parametrize("how", ["missing", "truncated", "changed"])
def test_damaged_files(name: str, how: str, write: Write, tmp_path: Path) -> None:
    build_store([write("a.jsonl", *passages(3))], tmp_path / "store")
    path = tmp_path / "store" / name
    if how == "missing":
        path.unlink()
    else:
        contents = bytearray(path.read_bytes())
        contents[len(contents) // 2] ^= 1
        path.write_bytes(contents if how == "changed" else contents[:-1])
    what = "is damaged: its checksum has changed" if how == "changed" else "is missing or incomplete"
    with pytest.raises(UserError, match=rf"^{path}: the file {what} \(remove the folder and build it again\)$"):
        PassageStore(tmp_path / "store")


def change_info(folder: Path, **values: Any) -> None:
    info = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**info, **values}))


def test_store_json_of_another_store(write: Write, tmp_path: Path) -> None:
    build_store([write("a.jsonl", *passages(3))], tmp_path / "store")
    change_info(tmp_path / "store", records=4)
    with pytest.raises(UserError, match=rf"^{tmp_path}/store: store.json does not fit its files \(remove the folder"):
        PassageStore(tmp_path / "store")


@pytest.mark.parametrize("name", ["passages.arrow", "keys.npy"])
def test_file_of_another_kind(name: str, write: Write, tmp_path: Path) -> None:
    build_store([write("a.jsonl", *passages(3))], tmp_path / "store")
    path = tmp_path / "store" / name
    path.write_bytes(b"another")
    files = json.loads((path.parent / "store.json").read_text())["files"]
    change_info(path.parent, files={**files, name: [7, checksum(path)]})
    with pytest.raises(UserError, match=rf"^{tmp_path}/store: cannot be read: .* \(remove the folder"):
        PassageStore(tmp_path / "store")


def test_store_without_checksums(write: Write, tmp_path: Path) -> None:
    build_store([write("a.jsonl", *passages(3))], tmp_path / "store")
    change_info(tmp_path / "store", bytes={"passages.arrow": 1})
    with pytest.raises(UserError) as caught:
        PassageStore(tmp_path / "store")
    assert str(caught.value) == (
        f"{tmp_path}/store: the store has no checksums: an earlier version of kpray built it "
        "(remove the folder and run the command again that made it)"
    )


@pytest.mark.parametrize("contents", [None, "", "[]", "{}", '{"sha256": "a"}'])
def test_other_folders_are_refused(contents: str | None, tmp_path: Path) -> None:
    if contents is not None:
        (tmp_path / "store.json").write_text(contents)
    with pytest.raises(UserError, match=rf"^{tmp_path}: the folder has no valid store\.json"):
        PassageStore(tmp_path)


def test_evaluation_data(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    path = data_file("samrank/inspec.jsonl")
    store = build_store([str(path)], tmp_path / "store")
    raw = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ids = [str(fields["id"]) for fields in raw]
    assert store.rows("en", ids).tolist() == list(range(500))
    assert [store.record(row).document.id for row in range(500)] == ids
