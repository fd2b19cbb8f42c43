"""The UniKeyphrase predictor: labels and beam search give one ranked list of present and absent keyphrases."""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from kpray.document import Document, Keyphrase
from kpray.errors import UserError
from kpray.predictor import Explanation, Predictor, saved_folder
from kpray.predictor_file import read_training, write_predictor_file
from kpray.pretrained import choose_device, choose_dtype, load_pretrained
from kpray.selection import select_generated
from kpray.text.edges import phrase_span, trim_phrase
from kpray.text.generated import split_target
from kpray.text.stems import contains_phrase, stemmed_word_spans, stemmed_words
from kpray.unikeyphrase.config import DecodeConfig, UniKeyphraseConfig
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
# Minimum score of a phrase that the first window lacks. What only one window finds rarely reaches it after the fourth.
_MIN_SCORE_OF_LATER = 0.2
_MIN_PRESENT = 2  # present phrases of a document that are not left out because of their score


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document after preprocessing on the CPU.

    Attributes:
        text: text of the document.
        lang: language of the document.
        stems: stems of the text's words, which decide whether a phrase is present.
        windows: tokens of each window of the text that the model reads; empty for a text without tokens.
        window_stems: stems of each window's words.
    """

    text: str
    lang: str
    stems: list[str]
    windows: list[Source]
    window_stems: list[list[str]]


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
        return prepare(document, self.encoder, self.model.config.source_tokens, self.config.decode.windows)

    @override
    def tokens(self, prepared: PreparedDocument) -> int:
        return sum(len(window.ids) for window in prepared.windows)

    @override
    @torch.inference_mode()
    def predict_prepared(self, prepared: Sequence[PreparedDocument], top: int) -> list[Explanation]:
        sources = [window for document in prepared for window in document.windows]
        readings = iter(read_documents(self.model, self.encoder, sources, self.config.decode, self.config.batch_tokens))
        return [self._explain(document, [next(readings) for _ in document.windows], top) for document in prepared]

    def _explain(self, document: PreparedDocument, readings: Sequence[Reading], top: int) -> Explanation:
        bias = self.config.decode.outside_bias
        probabilities = [label_probabilities(reading.label_logits, bias) for reading in readings]
        generated = [split_phrases(reading, self.encoder) for reading in readings]
        extracts = self.model.config.extraction
        keyphrases = rank_keyphrases(document, probabilities, generated, self.config.decode, extracts)
        keyphrases = select_generated(keyphrases, document.text, document.lang, self.selection, top)
        spans = [np.zeros((0, 2), dtype=np.int32), *(window.spans[1:-1] for window in document.windows)]
        scores = [np.zeros(0), *(extracts * (1 - window[:, OUTSIDE]) for window in probabilities)]
        return Explanation(keyphrases, np.concatenate(spans), np.concatenate(scores))

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


def prepare(document: Document, encoder: Encoder, source_tokens: int, windows: int) -> PreparedDocument:
    """Stem and tokenize a document.

    Args:
        document: the document.
        encoder: tokenizer of the model.
        source_tokens: maximum number of tokens in a window.
        windows: maximum number of windows.

    Raises:
        RejectedDocument: the text is not valid Unicode.
    """
    sources = encoder.encode_windows(document.text, source_tokens, windows)
    stems, spans = stemmed_word_spans(document.text, document.lang)
    ends = [end for _, end in spans]
    bounds = [0, *(bisect_right(ends, int(source.spans[-2, 1])) for source in sources)]
    window_stems = [stems[start:end] for start, end in pairwise(bounds)]
    return PreparedDocument(document.text, document.lang, stems, sources, window_stems)


def split_phrases(reading: Reading, encoder: Encoder) -> list[tuple[str, float]]:
    """Generated phrases with scores, best first.

    From one sequence, see `split_target`. From several hypotheses, the score of a phrase is the mean of its scores in
    them, weighted by their shares; a hypothesis without the phrase counts as 0.
    """
    if not reading.hypotheses:
        return _phrases(reading.target, reading.probabilities, encoder)
    scores: dict[str, float] = {}
    for target, probabilities, share in reading.hypotheses:
        # A repeated phrase counts once: reversed, because the first has the highest score.
        for text, score in dict(reversed(_phrases(target, probabilities, encoder))).items():
            scores[text] = scores.get(text, 0.0) + share * score
    return sorted(scores.items(), key=lambda phrase: -phrase[1])


def _phrases(target: np.ndarray, probabilities: np.ndarray, encoder: Encoder) -> list[tuple[str, float]]:
    phrases = split_target(target.tolist(), probabilities, encoder.delimiter_ids, encoder.sep_id)
    return [(text, score) for ids, score in phrases for text in encoder.decode_target(ids)]


def rank_keyphrases(
    document: PreparedDocument,
    probabilities: Sequence[np.ndarray],
    generated: Sequence[Sequence[tuple[str, float]]],
    decode: DecodeConfig,
    extracts: bool = True,
) -> list[Keyphrase]:
    """Rank present and absent keyphrases in one list by score; at equal scores, present ones come first.

    In a window, the score of a present phrase is the mean probability of its tokens' labels (App. E), maximized over
    its occurrences, with a part for generation (`DecodeConfig.generation_weight`). Phrases with equal stems are merged;
    `merge_windows` merges their scores. A phrase with a low score that the first window lacks is dropped. Punctuation
    at the edges of a phrase is dropped (`phrase_span`).

    A generated phrase that occurs in its own window is not added, because extraction decides about the phrases of a
    window. If it occurs in another window, it is present. If it occurs only in what is not read, it is dropped.

    Args:
        document: from `prepare`.
        probabilities: for each window float64 [S, C], label probabilities without [CLS] and [SEP].
        generated: for each window the generated phrases with scores.
        decode: the weight of generation and the minimum score of present phrases.
        extracts: whether the model was trained to label (`ModelConfig.extraction`). If false, labels are ignored, and
            generated phrases that occur in the document are present.
    """
    found: dict[str, Keyphrase] = {}  # without scores
    scores: dict[str, dict[int, float]] = {}  # of each window where the phrase was found
    written = [[(text, stemmed_words(text, document.lang), score) for text, score in phrases] for phrases in generated]
    weight = decode.generation_weight
    labelled = zip(document.windows, probabilities, strict=True) if extracts else ()
    for number, (window, labels) in enumerate(labelled):
        spans = window.spans[1:-1]
        chances: dict[str, float] = {}  # of the phrases that this window generated
        for _, stems, score in written[number]:
            chances.setdefault(" ".join(stems), score)
        for first, end, of_labels in extract_phrases(labels, window):
            begin, stop = phrase_span(document.text, int(spans[first, 0]), int(spans[end - 1, 1]))
            text = " ".join(document.text[begin:stop].split())
            stems = stemmed_words(text, document.lang)
            if not stems:
                continue
            key = " ".join(stems)
            if key not in found:
                present = contains_phrase(document.stems, stems)  # False if the tokenizer splits a word of `stems`
                found[key] = Keyphrase(text, 0.0, present)
            score = (of_labels + weight * chances.get(key, 0.0)) / (1 + weight)
            of_windows = scores.setdefault(key, {})
            of_windows[number] = max(score, of_windows.get(number, 0.0))
    for number, phrases in enumerate(written):
        for text, stems, score in phrases:
            if not stems or (extracts and contains_phrase(document.window_stems[number], stems)):
                continue
            present = any(contains_phrase(window, stems) for window in document.window_stems)
            if present or not contains_phrase(document.stems, stems):
                key = " ".join(stems)
                found.setdefault(key, Keyphrase(trim_phrase(text), 0.0, present))
                scores.setdefault(key, {}).setdefault(number, score)
    merged = {key: round(merge_windows(of_windows), _DIGITS) for key, of_windows in scores.items()}
    kept = [
        replace(found[key], score=score)
        for key, score in merged.items()
        if 0 in scores[key] or score >= _MIN_SCORE_OF_LATER
    ]
    kept.sort(key=lambda phrase: -phrase.score)
    surest = [phrase for phrase in kept if phrase.present][:_MIN_PRESENT]
    return [phrase for phrase in kept if not phrase.present or phrase.score >= decode.min_score or phrase in surest]


def merge_windows(scores: Mapping[int, float]) -> float:
    """Score of a phrase in a document: 1 - (1 - s_1) (1 - s_2 / 2) (1 - s_3 / 3) ... of its scores in windows 1, 2, ...

    It is the probability that at least one window is right about the phrase. Later windows count less, because they
    mention many phrases that are not topics of the document.

    Args:
        scores: index of a window, from 0 -> score in it.
    """
    merged = 0.0
    for number, score in scores.items():
        merged += score / (number + 1) * (1 - merged)
    return merged
