"""The SAMRank predictor: candidates, then token scores, then phrase scores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument
from kpray.failures import all_or_each, each_or_reject
from kpray.predictor import PREDICTOR_FILE, Explanation, Predictor, saved_folder
from kpray.pretrained import choose_device, load_backend_tokenizer
from kpray.samrank.candidates import select_candidates
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.models import HeadModel, open_model
from kpray.samrank.phrases import Occurrences, find_occurrences, group_vectors, phrase_scores, prefer_recurring
from kpray.samrank.prepared import PreparedDocument
from kpray.samrank.remote import ModelServer, RemoteModel
from kpray.samrank.scores import HeadScores, Redistribution, Weighting
from kpray.selection import choose, similarity_to_seeds, unit_vectors
from kpray.text.candidates import SplitText, split_text
from kpray.text.cleaning import Cleaned, clean
from kpray.text.concepts import concept_keys
from kpray.text.languages import primary_language
from kpray.text.occurrences import StemmedText
from kpray.text.stems import stem_phrase
from kpray.text.tagging import load_tagger

_SURROGATE = re.compile("[\ud800-\udfff]")
VECTOR_TOKENS = 65536  # tokens of documents whose hidden states are in memory at once: 100 MB with MiniLM
TAGGED_CHARACTERS = 500_000  # of texts that are tagged together: the tagger needs 100 bytes for each


@dataclass(frozen=True, slots=True)
class _Begun:
    """A document whose words are not tagged yet."""

    document: Document
    cleaned: Cleaned
    split: SplitText


class SAMRank(Predictor[PreparedDocument]):
    """Ranks the noun phrases of a document by self-attention, without training.

    Kang & Shin, "SAMRank: Unsupervised Keyphrase Extraction using Self-Attention Map in BERT and GPT-2", EMNLP 2023.
    """

    kind: ClassVar[str] = "samrank"
    takes_options: ClassVar[bool] = True
    gives_embeddings: ClassVar[bool] = True

    def __init__(self, config: SAMRankConfig, call: Callable[..., Any] | None = None) -> None:
        """Load the tokenizer, the tagger and the model's layers up to the last selected head.

        Args:
            config: the configuration.
            call: calls the model that `open_model` opened in another process; None: this process loads it.

        Raises:
            UserError: the model, a head, the tagger or the device is missing or not usable.
        """
        self.config = config
        self.tagger = load_tagger(config.tagger)
        opened = RemoteModel(call) if call is not None else open_model(config, choose_device(config.device))
        self.model: HeadModel = opened
        self.tokenizer = load_backend_tokenizer(config.model)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.prefix, self.suffix = _special_tokens(self.tokenizer)
        self.segment_tokens = min(config.segment_tokens or self.model.longest, self.model.longest)
        # Fails early if SAMRank cannot read the model's attention.
        self.score_segments([np.zeros(2 + len(self.prefix) + len(self.suffix), dtype=np.int64)])

    @classmethod
    def open_model(cls, config: SAMRankConfig) -> Callable[..., Any]:
        """Open the model alone, for predictors in other processes (`kpray.registry.open_model`).

        Raises:
            UserError: the model cannot be opened.
        """
        return ModelServer(open_model(config, choose_device(config.device)))

    @override
    def prepare(self, document: Document) -> PreparedDocument:
        begun = self._begin(document)
        [tags] = self._tag([begun])
        return self._finish(begun, tags)

    @override
    def prepare_each(
        self, documents: Sequence[Document], names: Sequence[str]
    ) -> list[PreparedDocument | RejectedDocument]:
        results: list[PreparedDocument | RejectedDocument] = []
        groups = np.cumsum([len(document.text) for document in documents]) // TAGGED_CHARACTERS
        for _, group in groupby(range(len(documents)), lambda index: groups[index]):
            indices = list(group)
            results += self._prepare_group([documents[index] for index in indices], [names[index] for index in indices])
        return results

    def _prepare_group(
        self, documents: Sequence[Document], names: Sequence[str]
    ) -> list[PreparedDocument | RejectedDocument]:
        begun = each_or_reject(self._begin, documents, names)
        accepted = [(each, name) for each, name in zip(begun, names, strict=True) if isinstance(each, _Begun)]
        tagged = iter(all_or_each(self._tag, *zip(*accepted, strict=True)) if accepted else [])

        def finish(each: _Begun | RejectedDocument) -> PreparedDocument:
            if isinstance(each, RejectedDocument):
                raise each
            tags = next(tagged)
            if isinstance(tags, RejectedDocument):
                raise tags
            return self._finish(each, tags)

        return each_or_reject(finish, begun, names)

    def _begin(self, document: Document) -> _Begun:
        """Prepare a document as far as no tags are needed."""
        if _SURROGATE.search(document.text):
            raise RejectedDocument("the text is not valid Unicode (a lone surrogate)")
        as_given = self.config.candidates == "paper"
        cleaned = Cleaned(document.text) if as_given else clean(document.text, primary_language(document.lang))
        return _Begun(document, cleaned, split_text(cleaned.text, document.lang, self.config.candidates))

    def _tag(self, several: Sequence[_Begun]) -> list[list[list[str]]]:
        """Tags of the sentences of each document. All sentences at once take a fraction of the time."""
        sentences = [sentence for each in several for sentence in each.split.sentences]
        found = iter(self.tagger.tag_sentences(sentences) if sentences else [])
        return [list(islice(found, len(each.split.sentences))) for each in several]

    def _finish(self, begun: _Begun, tags: Sequence[list[str]]) -> PreparedDocument:
        document, cleaned, words = begun.document, begun.cleaned, begun.split.words
        text, candidates = cleaned.text, begun.split.candidates(tags)
        text_words = StemmedText.of(text, document.lang)
        if not self.selection.plain:
            candidates = select_candidates(candidates, self.selection, text_words, words, document.lang)
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=np.int64)
        spans = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        room = self.segment_tokens - len(self.prefix) - len(self.suffix)
        segments = np.array_split(ids, max(1, -(-len(ids) // room)))
        numbers = np.repeat(np.arange(len(segments)), [len(segment) for segment in segments])
        word_spans = np.array(words.spans, dtype=np.int32).reshape(-1, 2)
        occurrences = find_occurrences(words.texts, candidates, word_spans, spans, numbers)
        first_words = occurrences.words[occurrences.first_of_phrase]
        phrases = [
            " ".join(text[words.spans[start][0] : words.spans[end - 1][1]].split())
            for start, end in first_words.tolist()
        ]
        stems = keys = [stem_phrase(phrase, document.lang) for phrase in phrases]
        english = primary_language(document.lang) == "en"
        if self.config.candidates == "extended" and english:
            keys = concept_keys(phrases, words.texts)
        starts = word_spans[occurrences.words[:, 0], 0]
        ends = word_spans[occurrences.words[:, 1] - 1, 1]
        phrase_words = [
            np.searchsorted(text_words.spans[:, 1], starts[occurrences.first_of_phrase], side="right"),
            np.searchsorted(text_words.spans[:, 0], ends[occurrences.first_of_phrase], side="left"),
        ]
        numbered: dict[str, int] = {}
        groups = np.array([numbered.setdefault(key, len(numbered)) for key in keys], dtype=np.int64)
        if self.config.candidates == "extended" and not english:
            occurrences = prefer_recurring(occurrences, groups)
        return PreparedDocument(
            segments=[np.concatenate([self.prefix, segment, self.suffix]) for segment in segments] if phrases else [],
            spans=cleaned.given_spans(spans),
            occurrences=occurrences,
            phrases=phrases,
            groups=groups,
            stems=stems,
            occurrence_spans=cleaned.given_spans(np.stack([starts, ends], axis=1)),
            words=StemmedText(text_words.stems, cleaned.given_spans(text_words.spans)),
            phrase_words=np.stack(phrase_words, axis=1),
            lang=document.lang,
        )

    @override
    def tokens(self, prepared: PreparedDocument) -> int:
        return sum(len(segment) for segment in prepared.segments)

    @override
    def predict_prepared(self, prepared: Sequence[PreparedDocument], top: int) -> list[Explanation]:
        if not self._needs_vectors():
            return self._predict(prepared, top)
        explanations: list[Explanation] = []
        tokens = np.cumsum([self.tokens(document) for document in prepared]) // VECTOR_TOKENS
        for _, group in groupby(range(len(prepared)), lambda index: tokens[index]):
            explanations += self._predict([prepared[index] for index in group], top)
        return explanations

    def _predict(self, prepared: Sequence[PreparedDocument], top: int) -> list[Explanation]:
        segments = [segment for document in prepared for segment in document.segments]
        scores = iter(self.score_segments(segments, hidden=self._needs_vectors()))
        return [self._rank(document, [next(scores) for _ in document.segments], top) for document in prepared]

    def _needs_vectors(self) -> bool:
        options = self.selection.options
        return bool(self.selection.embeddings or options.diversity or options.seeds)

    def score_segments(
        self,
        segments: Sequence[np.ndarray],
        modes: Sequence[tuple[Redistribution, Weighting]] | None = None,
        *,
        hidden: bool = False,
    ) -> list[HeadScores]:
        """Score the tokens of each segment with the selected heads.

        Args:
            segments: int64 [tokens] token ids each, special tokens included.
            modes: see `head_scores`; None: the configured mode.
            hidden: also return hidden states.

        Returns:
            One `HeadScores` per segment, special tokens left out.
        """
        found = self.model.head_scores(
            segments,
            self.config.layer_heads,
            batch_tokens=self.config.batch_tokens,
            modes=modes or [(self.config.redistribution, self.config.weighting)],
            hidden=hidden,
        )
        text = slice(len(self.prefix), -len(self.suffix) or None)
        return [
            HeadScores(
                scores.global_[:, text],
                scores.proportional[:, :, text],
                None if scores.hidden is None else scores.hidden[text],
            )
            for scores in found
        ]

    def _rank(self, document: PreparedDocument, segments: list[HeadScores], top: int) -> Explanation:
        if not segments:
            return Explanation([], document.spans, np.zeros(len(document.spans)))
        tokens = self.token_scores(segments)
        by_head = self.phrase_scores(tokens, document.occurrences)
        phrases = by_head[0] if len(by_head) == 1 else share_of_best(by_head).mean(axis=0)
        scores = group_scores(phrases[None], document.groups, self.config.merge_stems)[0]
        spelling = best_of_groups(phrases[None], document.groups)[0]
        # 0: every occurrence is a part of a longer phrase (Sec. 3.5)
        ranked = [group for group in np.argsort(-scores, kind="stable").tolist() if scores[group] > 0]
        shares = _shares_of_best(scores)[ranked]
        vectors = None
        if self.selection.plain:
            ranked, shares = ranked[:top], shares[:top]
        else:
            stems = [document.stems_of(spelling[group]) for group in ranked]
            if self._needs_vectors():
                hidden = np.concatenate([segment.hidden for segment in segments if segment.hidden is not None])
                vectors = group_vectors(hidden, document.occurrences, document.groups)[ranked]
            chosen, shares = choose(
                shares,
                stems,
                lambda: [len(spans) for spans in document.offsets(ranked)],
                self.selection.options,
                top,
                vectors=vectors,
                seeded=self._similarity_to_seeds(stems, vectors, document.lang),
            )
            ranked, shares = [ranked[index] for index in chosen], shares[chosen]
            vectors = vectors[chosen] if vectors is not None and self.selection.embeddings else None
        keyphrases = [
            Keyphrase(document.phrases[spelling[group]], score, present=True, offsets=offsets)
            for group, score, offsets in zip(ranked, shares.tolist(), document.offsets(ranked), strict=True)
        ]
        return Explanation(keyphrases, document.spans, share_of_best(tokens).mean(axis=0), embeddings=vectors)

    def _similarity_to_seeds(
        self, stems: Sequence[Sequence[str]], vectors: np.ndarray | None, lang: str
    ) -> np.ndarray | None:
        """Similarity of each phrase to the most similar seed, in [0, 1]: float64 [phrases]; None without seeds.

        A seed has the mean of its hidden states in a text of its own, because it need not occur in the document.
        """
        seeds = self.selection.options.seeds
        if not seeds or vectors is None:
            return None
        if self.selection.seed_vectors is None:
            ids = [self.tokenizer.encode(seed, add_special_tokens=False).ids for seed in seeds]
            room = self.segment_tokens - len(self.prefix) - len(self.suffix)
            found = self.score_segments(
                [np.array([*self.prefix, *row[:room], *self.suffix]) for row in ids], hidden=True
            )
            states = [each.hidden for each in found if each.hidden is not None]
            means = [each.sum(axis=0) / max(1, len(each)) for each in states]
            self.selection.seed_vectors = unit_vectors(np.stack(means))
        cosines = np.clip((unit_vectors(vectors) @ self.selection.seed_vectors.T).max(axis=1), 0, 1)
        similar: np.ndarray = np.maximum(cosines, similarity_to_seeds(stems, self.selection.seeds(lang)))
        return similar

    def token_scores(self, segments: Sequence[HeadScores]) -> np.ndarray:
        """Token scores by Eq. 6, or the configured part of it: float64 [heads, tokens of the document]."""
        parts = {
            "both": lambda segment: segment.global_.astype(np.float64) + segment.proportional[0],
            "global": lambda segment: segment.global_.astype(np.float64),
            "proportional": lambda segment: segment.proportional[0].astype(np.float64),
        }
        return np.concatenate([parts[self.config.score](segment) for segment in segments], axis=1)

    def phrase_scores(self, tokens: np.ndarray, occurrences: Occurrences) -> np.ndarray:
        """Phrase scores by Eq. 8, weighted by position if configured: float64 [heads, phrases].

        Args:
            tokens: float64 [heads, tokens of the document].
            occurrences: occurrences of the candidates.
        """
        scores = phrase_scores(tokens, occurrences)
        if self.config.position_scale is not None:
            words_before = occurrences.words[occurrences.first_of_phrase, 0]
            scores = scores / (1 + words_before / self.config.position_scale)
        return scores

    @override
    def describe(self) -> dict[str, Any]:
        config = self.config.model_dump(mode="json")
        return {"predictor": self.kind, "tagger": self.tagger.name, "config": config, **self.selection.describe()}

    @override
    def save(self, folder: str | Path) -> None:
        folder = saved_folder(folder)
        contents = {"kind": self.kind, "config": self.config.model_dump(mode="json")}
        (folder / PREDICTOR_FILE).write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def group_scores(scores: np.ndarray, groups: np.ndarray, merge: bool) -> np.ndarray:
    """One score for each group of phrases with equal stems.

    Scores are rounded to five significant digits of the head's highest score. The last bits of a floating-point sum
    depend on the batch; after rounding they cannot change a rank, and equal scores keep reading order.

    Args:
        scores: float64 [heads, phrases] in order of appearance.
        groups: int64 [phrases], group of each phrase, numbered from 0 in order of appearance.
        merge: True: sum of the group's scores; False: their maximum.

    Returns:
        float64 [heads, groups].
    """
    by_group = np.argsort(groups, kind="stable")
    first = np.flatnonzero(np.diff(groups[by_group], prepend=-1))
    together = (np.add if merge else np.maximum).reduceat(scores[:, by_group], first, axis=1)
    best = np.maximum(together.max(axis=1, keepdims=True), 1e-30)
    scale = 10.0 ** (5 - np.ceil(np.log10(best)))
    rounded: np.ndarray = np.round(together * scale) / scale
    return rounded


def best_of_groups(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The phrase that a group is shown as: its best one, and the first of equals.

    Args:
        scores: float64 [rankings, phrases] in order of appearance.
        groups: int64 [phrases], numbered from 0.

    Returns:
        int64 [rankings, groups], indices of phrases.
    """
    best_first = np.argsort(-scores, axis=1, kind="stable")
    by_group = np.take_along_axis(best_first, np.argsort(groups[best_first], axis=1, kind="stable"), axis=1)
    found: np.ndarray = by_group[:, np.flatnonzero(np.diff(np.sort(groups), prepend=-1))]
    return found


def share_of_best(scores: np.ndarray) -> np.ndarray:
    """Divide each row by its maximum; rows whose maximum is 0 stay unchanged."""
    best = scores.max(axis=1, keepdims=True)
    return scores / np.where(best > 0, best, 1)


def _shares_of_best(scores: np.ndarray) -> np.ndarray:
    """Scores divided by the best one, in [0, 1]. Six digits keep all ranks, because `group_scores` rounds to five."""
    shares: np.ndarray = np.round(share_of_best(scores[None])[0], 6)
    return shares


def _special_tokens(tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the special tokens before and after a text: int64 [tokens] each."""
    text = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    start = next(index for index in range(len(whole)) if whole[index : index + len(text)] == text)
    return np.array(whole[:start], dtype=np.int64), np.array(whole[start + len(text) :], dtype=np.int64)
