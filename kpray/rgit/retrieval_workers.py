"""The workers of RGIT's steps: each handles a part of the documents, and writes a Parquet file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from kpray.batch.actors import ChunkActor
from kpray.cluster.job import STATE_FOLDER
from kpray.corpus.store import PassageStore
from kpray.storage import whole_file

Side = Literal["query", "passage"]

GENERATED = ("row", "phrases", "scores")  # columns of generated phrases


@dataclass(frozen=True, slots=True)
class RetrievalRun:
    """Description of a step that every actor receives.

    Attributes:
        output: folder of the parts.
        input: folder of the input: a `PassageStore`, tokens, or an index.
        model: folder or hub id of the model.
        config: further settings of the step.
        side: whether the documents are queries or passages of the search.
        english: folder of the `PassageStore` of English documents, if the step needs it.
    """

    output: Path
    input: Path
    model: str
    config: Any = None
    side: Side = "query"
    english: Path | None = None

    @property
    def state(self) -> Path:
        """Folder with the state for resuming the step."""
        return self.output / STATE_FOLDER


class Tokenize(ChunkActor[RetrievalRun]):
    """Writes the token ids of documents: `ids`, int32 lists. A chunk is the first row and one past the last row."""

    activity = "tokenizing"

    @override
    def open(self) -> None:
        from kpray.pretrained import load_tokenizer
        from kpray.ramkg.encoder import TextEncoder

        self.store = PassageStore(self.run.input)
        self.texts = TextEncoder(load_tokenizer(self.run.model), self.run.config)

    @override
    def process(self, chunk: tuple[int, int], part: str) -> None:
        records = [self.store.record(row) for row in range(*chunk)]
        if self.run.side == "query":
            ids = self.texts.encode_queries([record.document for record in records])
        else:
            ids = self.texts.encode_passages(records)
        _write({"ids": pa.array(ids, pa.list_(pa.int32()))}, self.run, part)


class Embed(ChunkActor[RetrievalRun]):
    """Writes the vectors of token ids: `vectors`, float16 [D] each. A chunk is the path of a part of `Tokenize`."""

    activity = "embedding passages"

    @override
    def open(self) -> None:
        from kpray.pretrained import choose_device, choose_dtype
        from kpray.ramkg.encoder import open_retriever

        device = choose_device("auto")
        self.encoder = open_retriever(self.run.model).encoder.to(device, choose_dtype("auto", device))

    @override
    def process(self, chunk: str, part: str) -> None:
        from kpray.ramkg.encoder import embed

        _write({"vectors": _lists(embed(self.encoder, _read_ids(chunk), dtype="float16"))}, self.run, part)


class EmbedBitext(ChunkActor[RetrievalRun]):
    """Writes the vectors of documents for the bitext mining: `vectors`, [D] each. A chunk is as for `Tokenize`."""

    activity = "embedding documents"

    @override
    def open(self) -> None:
        self.store = PassageStore(self.run.input)

    @override
    def process(self, chunk: tuple[int, int], part: str) -> None:
        from kpray.ramkg.bitext import embed_texts

        texts = [self.store.record(row).document.text for row in range(*chunk)]
        _write({"vectors": _lists(embed_texts(texts, self.run.config))}, self.run, part)


class Search(Embed):
    """Writes the nearest passages of queries: `rows` and `scores`, [depth] each. A chunk is as for `Embed`."""

    activity = "searching passages"

    @override
    def open(self) -> None:
        import faiss

        from kpray.ramkg.index import PassageIndex

        super().open()
        faiss.omp_set_num_threads(1)  # each actor has one core
        self.depth, encoder = self.run.config
        self.index = PassageIndex(self.run.input, encoder)

    @override
    def process(self, chunk: str, part: str) -> None:
        from kpray.ramkg.encoder import embed

        scores, rows = self.index.search(embed(self.encoder, _read_ids(chunk)), self.depth)
        _write({"rows": _lists(rows), "scores": _lists(scores)}, self.run, part)


class Generate(ChunkActor[RetrievalRun]):
    """Writes generated keyphrases, see `GENERATED`. A chunk is rows of documents and of their passages, -1 for none."""

    activity = "generating keyphrases"

    @override
    def open(self) -> None:
        from kpray.ramkg.generator import open_generator

        self.store = PassageStore(self.run.input)
        self.english = PassageStore(self.run.english) if self.run.english else None
        self.generator = open_generator(self.run.model, self.run.config)

    @override
    def process(self, chunk: tuple[np.ndarray, np.ndarray], part: str) -> None:
        rows, passages = chunk
        documents = [self.store.record(int(row)).document for row in rows]
        hints: list[list[str]] = [
            [
                phrase
                for row in found
                if row >= 0 and self.english
                for phrase in self.english.record(int(row)).keyphrases
            ]
            for found in passages
        ]
        mixer = self.generator.mixer
        langs = [document.lang for document in documents]
        sources = mixer.sources(
            [document.text for document in documents], [mixer.language(lang) for lang in langs], hints
        )
        valid = [index for index, source in enumerate(sources) if not isinstance(source, str)]
        generated = self.generator.generate(
            [source for source in sources if not isinstance(source, str)], [langs[index] for index in valid]
        )
        by_index = dict(zip(valid, generated, strict=True))
        phrases = [by_index.get(index, []) for index in range(len(documents))]
        texts = pa.array([[text for text, _ in pairs] for pairs in phrases], pa.list_(pa.string()))
        scores = pa.array([[score for _, score in pairs] for pairs in phrases], pa.list_(pa.float64()))
        _write(dict(zip(GENERATED, (pa.array(rows), texts, scores), strict=True)), self.run, part)


def _read_ids(path: str) -> list[np.ndarray]:
    column = pq.read_table(path)["ids"].combine_chunks()
    offsets = column.offsets.to_numpy()
    return np.split(column.values.to_numpy(), offsets[1:-1])


def _lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _write(columns: dict[str, pa.Array], run: RetrievalRun, part: str) -> None:
    with whole_file(run.output / f"{part}.parquet") as unfinished:
        pq.write_table(pa.table(columns), unfinished, compression="zstd")
