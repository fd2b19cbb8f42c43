"""The index of passages compared with matrix products: ties, several files, replacement during searches."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.errors import UserError
from kpray.ramkg.config import IndexConfig
from kpray.ramkg.index import PassageIndex, build_index, gpu_options
from kpray.ramkg.index_info import IndexInfo, read_index_info
from tests.ramkg.index_data import FLOAT16, FLOAT32, SHARD, batches, random_vectors

Config = Callable[..., IndexConfig]


def whole_numbers(count: int, dimension: int = 8, seed: int = 0, most: int = 2) -> np.ndarray:
    """Vectors whose inner products are exact, and often equal."""
    return np.random.default_rng(seed).integers(-most, most + 1, (count, dimension)).astype(np.float32)


def naive_search(passages: np.ndarray, queries: np.ndarray, k: int) -> tuple[list[list[float]], list[list[int]]]:
    """All scores of each query, in descending order; equal scores by row."""
    all_scores, all_rows = [], []
    for query in queries.astype(np.float64):
        scores = [float(np.dot(passage, query)) for passage in passages.astype(np.float64)]
        rows = sorted(range(len(passages)), key=lambda row: (-scores[row], row))[:k]
        all_scores.append([scores[row] for row in rows] + [-np.inf] * (k - len(rows)))
        all_rows.append(rows + [-1] * (k - len(rows)))
    return all_scores, all_rows


@pytest.mark.parametrize("config", [FLOAT32, FLOAT16], ids=["float32", "float16"])
@pytest.mark.parametrize("queries", [1, 30])  # faiss has different code for few and for many queries
def test_same_neighbours_as_a_matrix_product(config: IndexConfig, queries: int, tmp_path: Path) -> None:
    passages = random_vectors(350).astype(np.float16)  # dtype of the encoder
    asked = random_vectors(queries, seed=1)
    info = build_index(batches(passages, 60), tmp_path, config, "checksum", SHARD)
    assert [shard.vectors for shard in info.shards] == [100, 100, 100, 50]
    assert (info.dimension, info.vectors, info.encoder, info.recall) == (32, 350, "checksum", None)
    index = PassageIndex(tmp_path, "checksum")
    scores, rows = index.search(asked, 7)
    assert (scores.dtype, rows.dtype) == (np.dtype(np.float32), np.dtype(np.int64))
    assert scores.shape == rows.shape == (queries, 7)
    wanted_scores, wanted_rows = naive_search(passages, asked, 7)
    assert rows.tolist() == wanted_rows
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [FLOAT32, FLOAT16], ids=["float32", "float16"])
@pytest.mark.parametrize("k", [1, 3, 10, 99, 100, 101, 249, 250, 251, 400])
def test_ties_are_in_the_order_of_rows(config: IndexConfig, k: int, tmp_path: Path) -> None:
    passages, queries = whole_numbers(250), whole_numbers(25, seed=1)
    build_index(batches(passages, 33), tmp_path, config, "checksum", SHARD)
    scores, rows = PassageIndex(tmp_path, None).search(queries, k)
    wanted_scores, wanted_rows = naive_search(passages, queries, k)
    assert scores.tolist() == wanted_scores
    assert rows.tolist() == wanted_rows


@settings(max_examples=40)
@given(
    count=st.integers(1, 40),
    shard=st.integers(1, 17),
    k=st.integers(1, 45),
    most=st.integers(0, 2),
    size=st.integers(1, 50),
)
def test_any_shards_and_batches(
    count: int, shard: int, k: int, most: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    passages, queries = whole_numbers(count, 4, seed=count, most=most), whole_numbers(3, 4, seed=1)
    folder = tmp_path_factory.mktemp("index")
    build_index(batches(passages, size), folder, IndexConfig(), "checksum", shard)
    scores, rows = PassageIndex(folder, None).search(queries, k)
    wanted_scores, wanted_rows = naive_search(passages, queries, k)
    assert scores.tolist() == wanted_scores
    assert rows.tolist() == wanted_rows


def test_all_equal(tmp_path: Path) -> None:
    """All passages are tied with the k-th, so the search requests all passages of each file."""
    build_index([np.ones((3000, 8), np.float32)], tmp_path, IndexConfig(), "checksum", 2000)
    scores, rows = PassageIndex(tmp_path, None).search(np.ones((300, 8), np.float32), 2)
    assert scores.tolist() == [[8.0, 8.0]] * 300
    assert rows.tolist() == [[0, 1]] * 300


def test_float16_finds_the_same_neighbours_as_float32(tmp_path: Path) -> None:
    """Scores of random neighbours differ enough that half precision rarely changes the order."""
    passages, queries = random_vectors(3000, 64), random_vectors(100, 64, seed=1)
    sizes, found = [], []
    for storage in ("float32", "float16"):
        config = IndexConfig.model_validate({"storage": storage})
        info = build_index([passages], tmp_path / storage, config, "checksum")
        sizes.append(info.shards[0].bytes)
        found.append(PassageIndex(tmp_path / storage, None).search(queries, 10)[1].tolist())
    shares = [len({*some} & {*others}) / 10 for some, others in zip(*found, strict=True)]
    assert sum(shares) / len(shares) > 0.99
    assert sizes[1] / sizes[0] == pytest.approx(1 / 2, abs=0.001)


def test_search_without_queries(tmp_path: Path) -> None:
    build_index([random_vectors(10)], tmp_path, FLOAT16, "checksum", SHARD)
    scores, rows = PassageIndex(tmp_path, None).search(np.empty((0, 32), np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


@pytest.mark.parametrize(("shape", "k"), [((2, 31), 1), ((32,), 1), ((2, 32), 0)])
def test_queries_of_a_wrong_shape(shape: tuple[int, ...], k: int, tmp_path: Path) -> None:
    build_index([random_vectors(10)], tmp_path, FLOAT16, "checksum", SHARD)
    with pytest.raises(ValueError, match=r"^expected queries \[Q, 32\] and k >= 1, found "):
        PassageIndex(tmp_path, None).search(np.zeros(shape, np.float32), k)


# ivfpq


APPROXIMATE = IndexConfig(kind="ivfpq", lists=16, probes=4, codes=2, storage="float32")


def clusters(count: int) -> np.ndarray:
    """Passages in forty clusters, for which an inverted file works well."""
    random = np.random.default_rng(0)
    topics = random.standard_normal((40, 8), dtype=np.float32)
    return topics[random.integers(40, size=count)] + 0.3 * random.standard_normal((count, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def approximate(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, Path, IndexInfo]:
    """Passages, and the folder and description of an index of them. It is a fixture because training is slow."""
    passages, folder = clusters(10_500), tmp_path_factory.mktemp("ivfpq")
    return passages, folder, build_index(batches(passages, 4000), folder, APPROXIMATE, "checksum", 6000)


def test_reported_recall_agrees_with_a_matrix_product(approximate: tuple[np.ndarray, Path, IndexInfo]) -> None:
    passages, folder, info = approximate
    sample = np.linspace(0, 10_499, 1000).astype(int)
    found = PassageIndex(folder, "checksum").search(passages[sample], 11)[1].tolist()
    wanted = np.argsort(-passages[sample] @ passages.T, axis=1, kind="stable")[:, :11].tolist()
    shares = []
    for row, some, others in zip(sample.tolist(), found, wanted, strict=True):
        some_others, wanted_others = ([other for other in rows if other != row][:10] for rows in (some, others))
        shares.append(len({*some_others} & {*wanted_others}) / 10)
    assert info.recall == pytest.approx(sum(shares) / 1000, abs=0.001)  # a matrix product rounds differently
    assert info.recall is not None
    assert 0.2 < info.recall < 0.99


def test_files_of_ivfpq(approximate: tuple[np.ndarray, Path, IndexInfo]) -> None:
    """The files of the exact index are removed."""
    passages, folder, info = approximate
    assert [shard.vectors for shard in info.shards] == [6000, 4500]
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", *(shard.file for shard in info.shards)]
    assert sum(shard.bytes for shard in info.shards) < passages.nbytes / 2
    assert read_index_info(folder) == info


def test_ivfpq_that_finds_fewer(approximate: tuple[np.ndarray, Path, IndexInfo]) -> None:
    """Only passages in the probed cells are found."""
    passages, folder, _ = approximate
    scores, rows = PassageIndex(folder, None).search(passages[:10], 10_500)
    found = (rows >= 0).sum(axis=1)
    assert (found > 100).all()
    assert (found < 10_000).all()
    assert ((rows == -1) == (scores == -np.inf)).all()
    for some_scores, some_rows, count in zip(scores.tolist(), rows.tolist(), found.tolist(), strict=True):
        assert len({*some_rows[:count]}) == count
        pairs = list(zip(some_scores[:count], some_rows, strict=False))
        assert pairs == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


@pytest.mark.parametrize(
    ("count", "config", "message"),
    [
        (9983, {"lists": 100}, "index.kind: ivfpq with 100 lists needs at least 9984 passages, found 9983 (choose"),
        (10_000, {"lists": 257}, "index.kind: ivfpq with 257 lists needs at least 10023 passages, found 10000"),
        (
            10_000,
            {"lists": 9, "codes": 5},
            "index.codes: the size of a vector, 8, is not divisible by 5 (choose a divisor of 8)",
        ),
    ],
)
def test_impossible_ivfpq(count: int, config: dict[str, int], message: str, tmp_path: Path) -> None:
    ivfpq = IndexConfig.model_validate({"codes": 8, **config, "kind": "ivfpq"})
    with pytest.raises(UserError) as caught:
        build_index([clusters(count)], tmp_path, ivfpq, "checksum")
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


# the folder


def test_index_json(tmp_path: Path) -> None:
    info = build_index([random_vectors(150)], tmp_path, FLOAT16, "checksum", SHARD)
    stored = json.loads((tmp_path / "index.json").read_text())
    assert stored["encoder"] == "checksum"
    assert stored["config"]["storage"] == "float16"
    assert [(shard["vectors"], (tmp_path / shard["file"]).stat().st_size) for shard in stored["shards"]] == [
        (100, stored["shards"][0]["bytes"]),
        (50, stored["shards"][1]["bytes"]),
    ]
    assert read_index_info(tmp_path) == info
    assert len(PassageIndex(tmp_path, None)) == 150


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    build_index([random_vectors(10)], tmp_path, FLOAT16, "one", SHARD)
    assert len(PassageIndex(tmp_path, "one")) == 10
    with pytest.raises(UserError, match=rf"^{tmp_path}: the index was built with another encoder \(build it again"):
        PassageIndex(tmp_path, "other")


@pytest.mark.parametrize("how", ["missing", "truncated", "overwritten", "a vector", "the header"])
def test_damaged_file(how: str, tmp_path: Path) -> None:
    info = build_index([random_vectors(150)], tmp_path, FLOAT16, "checksum", SHARD)
    path = tmp_path / info.shards[1].file
    contents = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    else:
        contents[{"a vector": len(contents) // 2, "the header": 4}.get(how, 0)] ^= 64
        changed = {"truncated": contents[:-1], "overwritten": bytearray(info.shards[1].bytes)}
        path.write_bytes(changed.get(how, contents))
    incomplete = how in ("missing", "truncated")
    what = "is missing or incomplete" if incomplete else "is damaged: its checksum has changed"
    with pytest.raises(UserError, match=rf"^{path}: the file {what} \(build the index again\)$"):
        PassageIndex(tmp_path, None)


@pytest.mark.parametrize("kind", ["exact", "ivfpq"])
def test_any_damage_is_one_line(kind: str, approximate: tuple[np.ndarray, Path, IndexInfo], tmp_path: Path) -> None:
    """Each of these bytes is tried. faiss aborts the process at some, and gives wrong answers at others."""
    folder = tmp_path / "index"
    if kind == "exact":
        build_index([random_vectors(20)], folder, FLOAT16, "checksum", SHARD)
    else:
        shutil.copytree(approximate[1], folder)
    path = folder / read_index_info(folder).shards[0].file
    contents = path.read_bytes()
    for position in (*range(60), *np.linspace(60, len(contents) - 1, 40).astype(int).tolist()):
        changed = bytearray(contents)
        changed[position] ^= 128
        path.write_bytes(changed)
        with pytest.raises(UserError, match=r"^.*: the file is damaged: its checksum has changed \(build"):
            PassageIndex(folder, None)


@pytest.mark.parametrize(
    ("name", "change"), [("vectors", 3), ("dimension", 16), ("shards", [{"vectors": 3}]), ("shards", [])]
)
def test_index_json_of_another_index(name: str, change: Any, tmp_path: Path) -> None:
    build_index([random_vectors(10)], tmp_path, FLOAT16, "checksum", SHARD)
    stored = json.loads((tmp_path / "index.json").read_text())
    stored[name] = [{**stored["shards"][0], **shard} for shard in change] if name == "shards" else change
    (tmp_path / "index.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"does not fit .*\(build the index again\)$"):
        PassageIndex(tmp_path, None)


def test_pickling_only_passes_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_index([random_vectors(500)], Path("index"), FLOAT32, "checksum", SHARD)
    index = PassageIndex(Path("index"), None)
    pickled = pickle.dumps(index)
    assert len(pickled) < 300
    monkeypatch.chdir("/")
    queries = random_vectors(4, seed=1)
    for mine, other in zip(index.search(queries, 5), pickle.loads(pickled).search(queries, 5), strict=True):
        np.testing.assert_array_equal(mine, other)


def anonymous_memory() -> int:
    """Private memory of this process in bytes."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("config", [FLOAT16, FLOAT32], ids=["float16", "float32"])
def test_files_are_mapped_not_copied(config: IndexConfig, tmp_path: Path) -> None:
    info = build_index(batches(random_vectors(40_000, 256), 1000), tmp_path, config, "", 20_000)
    before = anonymous_memory()
    index = PassageIndex(tmp_path, None)
    index.search(random_vectors(2, 256, seed=1), 5)
    assert anonymous_memory() - before < sum(shard.bytes for shard in info.shards) / 4


# while it is being replaced


def test_searches_while_the_index_is_replaced(tmp_path: Path) -> None:
    """A process that opens the index at any time gets a complete one, the old or the new."""
    sets = [random_vectors(250, seed=seed) for seed in range(2)]
    queries = random_vectors(3, seed=9)
    expected = [naive_search(vectors.astype(np.float16), queries, 4)[1] for vectors in sets]
    build_index([sets[0]], tmp_path, FLOAT16, "0", SHARD)
    done = threading.Event()
    opened: list[str] = []
    wrong: list[Any] = []

    def keep_searching() -> None:
        while not done.is_set():
            try:
                index = PassageIndex(tmp_path, None)
                rows = index.search(queries, 4)[1].tolist()
                opened.append(index.info.encoder)
                if rows != expected[int(index.info.encoder)]:
                    wrong.append(rows)
            except Exception as error:
                wrong.append(error)

    thread = threading.Thread(target=keep_searching)
    thread.start()
    for number in range(1, 30):
        build_index([sets[number % 2]], tmp_path, FLOAT16, str(number % 2), SHARD)
    done.set()
    thread.join()
    assert not wrong
    assert {*opened} == {"0", "1"}


# what is installed


def test_gpu_options_follow_the_storage() -> None:
    assert gpu_options(FLOAT16) == {"useFloat16": True, "use_cuvs": False}
    assert gpu_options(FLOAT32) == {"useFloat16": False, "use_cuvs": False}
    assert gpu_options(IndexConfig(kind="ivfpq", storage="float32"))["useFloat16"]


def test_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)  # makes the import fail
    monkeypatch.delitem(sys.modules, "kpray.ramkg.index")
    with pytest.raises(UserError) as caught:
        import_module("kpray.ramkg.index")
    assert str(caught.value) == (
        "the package faiss is not installed (pip install 'kpray[cpu]', or 'kpray[gpu]' on a machine with a GPU)"
    )
