"""The UniKeyphrase predictor: labels and beam search give one ranked list of present and absent keyphrases."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from kpray.document import Document, Keyphrase
from kpray.errors import UserError
from kpray.predictor import Explanation, Predictor, read_training, saved_folder, write_predictor_file
from kpray.pretrained import choose_device, choose_dtype, load_pretrained
from kpray.selection import select_generated
from kpray.text.edges import phrase_span, trim_phrase
from kpray.text.generated import split_target
from kpray.text.stems import contains_phrase, stemmed_words
from kpray.unikeyphrase.config import UniKeyphraseConfig
from kpray.unikeyphrase.decode import (
    Reading,
    extract_phrases,
    label_probabilities,
    read_documents,
)
from kpray.unikeyphrase.inputs import Encoder, Source
from kpray.unikeyphrase.labels import OUTSIDE
from kpray.unikeyphrase.model import UniKeyphraseModel

_DIGITS = 5  # scores are rounded, so that ranks do not depend on the last bits, which depend on the batch
_SPECIAL_TOKENS = 2  # [CLS] and [SEP]


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document after preprocessing on the CPU.

    Attributes:
        text: text of the document.
        lang: language of the document.
        stems: stems of the text's words, which decide whether a phrase is present.
        source: tokens of the text, cut at the maximum length.
    """

    text: str
    lang: str
    stems: list[str]
    source: Source


class UniKeyphrase(Predictor[PreparedDocument]):
    """Extracts present and generates absent keyphrases with one trained model.

    Wu et al., "UniKeyphrase: A Unified Extraction and Generation Framework for Keyphrase Prediction", Findings of ACL
    2021.
    """

    kind: ClassVar[str] = "unikeyphrase"
    takes_options: ClassVar[bool] = True

    def __init__(self, config: UniKeyphraseConfig) -> None:
        """Load a folder that training or `save` wrote.

        Raises:
            UserError: the folder is incomplete, its weights differ from those in the configuration, or the device does
                not exist.
        """
        folder = config.folder
        self.config = config.checked()
        device = choose_device(config.device)
        self.encoder = Encoder(str(folder))
        self.model = load_model(folder, choose_dtype(config.dtype, device), device)
        if self.encoder.vocabulary_size > self.model.config.vocab_size:
            raise UserError(
                "the tokenizer has more tokens than the model", where=config.model, fix="copy the folder again"
            )
        self.training = read_training(folder)

    @override
    def prepare(self, document: Document) -> PreparedDocument:
        return prepare(document, self.encoder, self.model.config.source_tokens)

    @override
    def tokens(self, prepared: PreparedDocument) -> int:
        return len(prepared.source.ids)

    @override
    @torch.inference_mode()
    def predict_prepared(self, prepared: Sequence[PreparedDocument], top: int) -> list[Explanation]:
        sources = [document.source for document in prepared if has_tokens(document)]
        readings = iter(read_documents(self.model, self.encoder, sources, self.config.decode, self.config.batch_tokens))
        return [
            self._explain(document, next(readings), top)
            if has_tokens(document)
            else Explanation([], document.source.spans[1:-1], np.zeros(0))
            for document in prepared
        ]

    def _explain(self, document: PreparedDocument, reading: Reading, top: int) -> Explanation:
        probabilities = label_probabilities(reading.label_logits, self.config.decode.outside_bias)
        keyphrases = rank_keyphrases(document, probabilities, split_phrases(reading, self.encoder))
        keyphrases = select_generated(keyphrases, document.text, document.lang, self.selection, top)
        return Explanation(keyphrases, document.source.spans[1:-1], 1 - probabilities[:, OUTSIDE])

    @override
    def describe(self) -> dict[str, Any]:
        config = self.config.model_dump(mode="json")
        return {"predictor": self.kind, "config": config, "training": self.training, **self.selection.describe()}

    @override
    def save(self, folder: str | Path) -> None:
        folder = saved_folder(folder)
        before = self.config.folder
        if folder.resolve() != before.resolve():
            for name in ("config.json", "model.safetensors"):
                shutil.copyfile(before / name, folder / name)
            self.encoder.save(folder)
        write_predictor_file(folder, self.kind, self.config.model_dump(mode="json"), self.training)


def load_model(folder: Path, dtype: torch.dtype, device: torch.device) -> UniKeyphraseModel:
    """Load a saved model in evaluation mode.

    Raises:
        UserError: the model cannot be loaded or is incomplete.
    """
    model, loading = load_pretrained(
        UniKeyphraseModel, str(folder), dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    absent = [*loading["missing_keys"], *loading["mismatched_keys"]]
    if absent or loading["unexpected_keys"]:  # transformers would use random weights instead
        raise UserError(
            f"these are not the weights of a UniKeyphrase: {len(absent)} tensors are missing, "
            f"{len(loading['unexpected_keys'])} are unknown",
            where=str(folder),
            fix="give a folder that training wrote",
        )
    loaded: UniKeyphraseModel = model.to(device).eval()
    return loaded


def prepare(document: Document, encoder: Encoder, source_tokens: int) -> PreparedDocument:
    """Stem and tokenize a document.

    Raises:
        RejectedDocument: the text is not valid Unicode.
    """
    source = encoder.encode_source(document.text, source_tokens)
    return PreparedDocument(document.text, document.lang, stemmed_words(document.text, document.lang), source)


def has_tokens(document: PreparedDocument) -> bool:
    """Whether the document has tokens besides [CLS] and [SEP]."""
    return len(document.source.ids) > _SPECIAL_TOKENS


def split_phrases(reading: Reading, encoder: Encoder) -> list[tuple[str, float]]:
    """Generated phrases with scores, in the order of the sequence."""
    phrases = split_target(reading.target.tolist(), reading.probabilities, encoder.delimiter_ids, encoder.sep_id)
    return [(text, score) for ids, score in phrases for text in encoder.decode_target(ids)]


def rank_keyphrases(
    document: PreparedDocument, probabilities: np.ndarray, generated: Sequence[tuple[str, float]]
) -> list[Keyphrase]:
    """Rank present and absent keyphrases in one list by score; at equal scores, present ones come first.

    The score of a present phrase is the mean probability of its tokens' labels (App. E), maximized over its
    occurrences. Generated phrases keep their order. Phrases with equal stems are merged. A generated phrase that occurs
    in the document is dropped, because extraction decides about present phrases. Punctuation at the edges of a phrase
    is dropped (`phrase_span`).

    Args:
        document: from `prepare`.
        probabilities: float64 [S, C], label probabilities without [CLS] and [SEP].
        generated: generated phrases with scores.
    """
    spans = document.source.spans[1:-1]
    found: dict[str, Keyphrase] = {}
    for first, end, score in extract_phrases(probabilities, document.source):
        begin, stop = phrase_span(document.text, int(spans[first, 0]), int(spans[end - 1, 1]))
        text = " ".join(document.text[begin:stop].split())
        stems = stemmed_words(text, document.lang)
        if stems:
            key = " ".join(stems)
            before = found.get(key)
            present = contains_phrase(document.stems, stems)  # False if the tokenizer splits a word of `stems`
            if before is None or before.score < score:
                found[key] = Keyphrase(before.text if before else text, score, present)
    for text, score in generated:
        stems = stemmed_words(text, document.lang)
        if stems and not contains_phrase(document.stems, stems):
            found.setdefault(" ".join(stems), Keyphrase(trim_phrase(text), score, present=False))
    rounded = [Keyphrase(phrase.text, round(phrase.score, _DIGITS), phrase.present) for phrase in found.values()]
    return sorted(rounded, key=lambda phrase: -phrase.score)
