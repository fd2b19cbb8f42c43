"""The RAMKG predictor: retrieves English passages for a document and generates keyphrases in its language."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from kpray.corpus.store import PassageStore
from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument, UserError
from kpray.predictor import Evidence, Explanation, Predictor, Support, saved_folder
from kpray.predictor_file import read_training, write_predictor_file
from kpray.pretrained import choose_device, choose_dtype
from kpray.ramkg.config import ENGLISH, GENERATOR, INDEX, RETRIEVER, RAMKGConfig
from kpray.ramkg.encoder import embed, open_retriever
from kpray.ramkg.evidence import find_support, keyphrase_gains
from kpray.ramkg.generator import open_generator
from kpray.ramkg.index import PassageIndex
from kpray.selection import select_generated
from kpray.text.stems import contains_phrase, stemmed_words


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document after preprocessing on the CPU.

    Attributes:
        text: text of the document.
        lang: language of the document.
        stems: stems of the text's words, which decide whether a phrase is present.
        query: token ids for the retriever, int32 [tokens]; None if nothing is retrieved.
    """

    text: str
    lang: str
    stems: list[str]
    query: np.ndarray | None


class RAMKG(Predictor[PreparedDocument]):
    """Retrieves English passages for a document, and generates keyphrases from the document and their keyphrases.

    Gao et al., "Retrieval-Augmented Multilingual Keyphrase Generation with Retriever-Generator Iterative Training",
    Findings of NAACL 2022.
    """

    kind: ClassVar[str] = "ramkg"
    takes_options: ClassVar[bool] = True
    gives_support: ClassVar[bool] = True

    def __init__(self, config: RAMKGConfig) -> None:
        """Load a folder that RGIT, the training of a generator without retrieval, or `save` wrote.

        Raises:
            UserError: the folder is incomplete, its weights differ from those in the configuration, its index was built
                with another retriever, or the device does not exist.
        """
        folder = config.folder
        self.config = config.checked()
        self.generator = open_generator(
            str(config.generator_folder), config.generate, dtype=config.dtype, device=config.device
        )
        self.passages = self.generator.mixer.config.passages
        if self.passages:
            device = choose_device(config.device)
            retriever = open_retriever(str(folder / RETRIEVER))
            self.index = PassageIndex(folder / INDEX, retriever.sha256)
            self.english = PassageStore(folder / ENGLISH)
            if len(self.index) != len(self.english):
                raise UserError(
                    f"the index has {len(self.index):,} passages, but the folder `{ENGLISH}` has {len(self.english):,}",
                    where=config.model,
                    fix="copy the folder again",
                )
            self.texts = retriever.texts
            self.encoder = retriever.encoder.to(device, choose_dtype(config.dtype, device))
        self.training = read_training(folder)

    @override
    def prepare(self, document: Document) -> PreparedDocument:
        try:
            self.generator.mixer.language(document.lang)
        except UserError as error:
            raise RejectedDocument(error.what) from error
        query = self.texts.encode_queries([document])[0] if self.passages else None
        return PreparedDocument(document.text, document.lang, stemmed_words(document.text, document.lang), query)

    @override
    def tokens(self, prepared: PreparedDocument) -> int:
        """Number of tokens of the document in the generator, without the retrieved keyphrases."""
        mixer = self.generator.mixer
        [source] = mixer.sources([prepared.text], [mixer.language(prepared.lang)], [()])
        return 0 if isinstance(source, str) else len(source)

    @override
    @torch.inference_mode()
    def predict_prepared(self, prepared: Sequence[PreparedDocument], top: int) -> list[Explanation]:
        evidence = self._retrieve([document.query for document in prepared if document.query is not None])
        if not evidence:
            evidence = [()] * len(prepared)
        mixer = self.generator.mixer
        english = [[phrase for passage in passages for phrase in passage.keyphrases] for passages in evidence]
        made = mixer.sources(
            [document.text for document in prepared], [mixer.language(document.lang) for document in prepared], english
        )
        sources = {index: source for index, source in enumerate(made) if not isinstance(source, str)}
        langs = [prepared[index].lang for index in sources]
        found = self.generator.sequences(list(sources.values()), langs, self.config.batch_tokens)
        generated = dict(zip(sources, found, strict=True))  # a document without tokens has no phrases
        supports: dict[int, dict[str, tuple[Support, ...]]] | None = None
        if self.passages and self.selection.support:
            gains = keyphrase_gains(self.generator, list(sources.values()), langs, found, self.config.batch_tokens)
            hints = mixer.hints(english)
            supports = {
                index: find_support([text for text, _ in hints[index]], of_document, phrases, evidence[index])
                for (index, phrases), of_document in zip(generated.items(), gains, strict=True)
            }
        nothing = np.zeros((0, 2), np.int32), np.zeros(0)
        explanations: list[Explanation] = []
        for index, each in enumerate(prepared):
            phrases = [(phrase.text, phrase.score) for phrase in generated[index].phrases] if index in generated else []
            keyphrases = self._keyphrases(each, phrases, top)
            support = None if supports is None else tuple(supports[index][phrase.text] for phrase in keyphrases)
            explanations.append(Explanation(keyphrases, *nothing, evidence[index], support))
        return explanations

    def _keyphrases(
        self, document: PreparedDocument, phrases: Sequence[tuple[str, float]], top: int
    ) -> list[Keyphrase]:
        keyphrases = make_keyphrases(document.stems, document.lang, phrases)
        return select_generated(keyphrases, document.text, document.lang, self.selection, top)

    def _retrieve(self, queries: Sequence[np.ndarray]) -> list[tuple[Evidence, ...]]:
        if not queries:
            return []
        vectors = embed(self.encoder, queries, self.config.batch_tokens)
        scores, rows = self.index.search(vectors, self.passages)
        return [
            tuple(self._evidence(row, score) for row, score in zip(*found, strict=True) if row >= 0)
            for found in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def _evidence(self, row: int, score: float) -> Evidence:
        record = self.english.record(row)
        return Evidence(record.document, record.keyphrases, score)

    @override
    def describe(self) -> dict[str, Any]:
        config = self.config.model_dump(mode="json")
        return {"predictor": self.kind, "config": config, "training": self.training, **self.selection.describe()}

    @override
    def save(self, folder: str | Path) -> None:
        folder = saved_folder(folder)
        before = self.config.folder
        parts = {GENERATOR: self.config.generator_folder}
        parts |= {name: before / name for name in (RETRIEVER, INDEX, ENGLISH) if (before / name).exists()}
        save_parts(folder, {} if folder.resolve() == before.resolve() else parts, self.config, self.training)


def make_keyphrases(stems: Sequence[str], lang: str, phrases: Sequence[tuple[str, float]]) -> list[Keyphrase]:
    """Make keyphrases of generated phrases, in order; `stems` are those of the document's words."""
    return [Keyphrase(text, score, contains_phrase(stems, stemmed_words(text, lang))) for text, score in phrases]


def save_parts(folder: Path, parts: Mapping[str, Path], config: RAMKGConfig, training: Mapping[str, Any]) -> None:
    """Write a folder for `open_predictor`. Large files are hard-linked if the file system supports it.

    Args:
        folder: output folder; its parts are replaced.
        parts: name of a part -> its folder: `GENERATOR`, and with retrieval also `RETRIEVER`, `INDEX` and `ENGLISH`.
        config: configuration of the predictor.
        training: configuration of the training, JSON values.
    """
    for name, source in parts.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(source, folder / name, copy_function=_link)
    write_predictor_file(folder, RAMKG.kind, config.model_dump(mode="json"), training)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
