"""The SAMRank predictor: candidates, then token scores, then phrase scores."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from kpray.batches import BatchTokens
from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument, UserError
from kpray.predictor import PREDICTOR_FILE, Explanation, Predictor
from kpray.pretrained import choose_device, choose_dtype, load_pretrained, load_tokenizer
from kpray.samrank.attention import ATTENTION_NAME, HeadScores, head_scores
from kpray.samrank.config import SAMRankConfig, check_heads
from kpray.samrank.phrases import Occurrences, find_occurrences, phrase_scores, prefer_recurring
from kpray.samrank.scores import Redistribution, Weighting
from kpray.text.candidates import find_candidates
from kpray.text.cleaning import Cleaned, clean
from kpray.text.concepts import concept_keys
from kpray.text.languages import primary_language
from kpray.text.stems import stem_phrase
from kpray.text.tagging import load_tagger

_SURROGATE = re.compile("[\ud800-\udfff]")
BATCH_TOKENS = BatchTokens(cpu=1024)


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document after preprocessing on the CPU.

    Attributes:
        segments: int64 [tokens of the segment] token ids each, special tokens included.
        spans: int32 [tokens, 2] character offsets in the text as given, special tokens left out.
        occurrences: occurrences of the candidates.
        phrases: text of each candidate's first occurrence.
        groups: int64 [phrases], group of each phrase. Phrases with equal stems share a group; with the rule `extended`,
            phrases of one concept do. Groups are numbered from 0 in order of appearance.
        stems: stems of each phrase.
    """

    segments: list[np.ndarray]
    spans: np.ndarray
    occurrences: Occurrences
    phrases: list[str]
    groups: np.ndarray
    stems: list[str]


class SAMRank(Predictor[PreparedDocument]):
    """Ranks the noun phrases of a document by self-attention, without training.

    Kang & Shin, "SAMRank: Unsupervised Keyphrase Extraction using Self-Attention Map in BERT and GPT-2", EMNLP 2023.
    """

    kind: ClassVar[str] = "samrank"

    def __init__(self, config: SAMRankConfig) -> None:
        """Load the tokenizer, the tagger and the model's layers up to the last selected head.

        Raises:
            UserError: the model, a head, the tagger or the device is missing or not usable.
        """
        from transformers import AutoConfig, AutoModel

        self.config = config
        self.tagger = load_tagger(config.tagger)
        architecture = load_pretrained(AutoConfig, config.model)
        if architecture.is_encoder_decoder:
            raise UserError(
                f"{config.model!r} is an encoder-decoder model", where="model", fix="choose an encoder or a decoder"
            )
        check_heads(config.layer_heads, architecture.num_hidden_layers, architecture.num_attention_heads)
        architecture.num_hidden_layers = 1 + max(layer for layer, _ in config.layer_heads)

        device = choose_device(config.device)
        self.model = load_pretrained(
            AutoModel,
            config.model,
            config=architecture,
            attn_implementation=ATTENTION_NAME,
            dtype=choose_dtype(config.dtype, device),
            use_safetensors=True,
        )
        self.model = self.model.to(device).eval()
        # In causal models most attention goes to the first token, in other models to the last, [SEP] (Sec. 3.3).
        causal = any(getattr(module, "is_causal", False) for module in self.model.modules())
        self.muted = 0 if causal else -1

        tokenizer = load_tokenizer(config.model)
        self.tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.prefix, self.suffix = _special_tokens(self.tokenizer)
        longest = architecture.max_position_embeddings
        if tokenizer.pad_token_id is not None and architecture.model_type in ("roberta", "xlm-roberta", "camembert"):
            longest -= tokenizer.pad_token_id + 1  # the first position of these models is pad_token_id + 1
        self.segment_tokens = min(config.segment_tokens or longest, longest)
        # Fails early if SAMRank cannot read the model's attention.
        self.score_segments([np.zeros(2 + len(self.prefix) + len(self.suffix), dtype=np.int64)])

    @override
    def prepare(self, document: Document) -> PreparedDocument:
        if _SURROGATE.search(document.text):
            raise RejectedDocument("the text is not valid Unicode (a lone surrogate)")
        as_given = self.config.candidates == "paper"
        cleaned = Cleaned(document.text) if as_given else clean(document.text, primary_language(document.lang))
        text = cleaned.text
        words, candidates = find_candidates(text, document.lang, self.config.candidates, self.tagger)
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
            keys = concept_keys(phrases, words.texts, [(start, end) for start, end in first_words.tolist()])
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
        )

    @override
    def tokens(self, prepared: PreparedDocument) -> int:
        return sum(len(segment) for segment in prepared.segments)

    @override
    def predict_prepared(self, prepared: Sequence[PreparedDocument], top: int) -> list[Explanation]:
        scores = iter(self.score_segments([segment for document in prepared for segment in document.segments]))
        return [self._rank(document, [next(scores) for _ in document.segments], top) for document in prepared]

    def score_segments(
        self, segments: Sequence[np.ndarray], modes: Sequence[tuple[Redistribution, Weighting]] | None = None
    ) -> list[HeadScores]:
        """Score the tokens of each segment with the selected heads.

        Args:
            segments: int64 [tokens] token ids each, special tokens included.
            modes: see `head_scores`; None: the configured mode.

        Returns:
            One `HeadScores` per segment, special tokens left out.
        """
        found = head_scores(
            self.model,
            segments,
            self.config.layer_heads,
            muted=self.muted,
            batch_tokens=BATCH_TOKENS.choose(self.config.batch_tokens, self.model.device),
            modes=modes or [(self.config.redistribution, self.config.weighting)],
        )
        text = slice(len(self.prefix), -len(self.suffix) or None)
        return [HeadScores(scores.global_[:, text], scores.proportional[:, :, text]) for scores in found]

    def _rank(self, document: PreparedDocument, segments: list[HeadScores], top: int) -> Explanation:
        if not segments:
            return Explanation([], document.spans, np.zeros(len(document.spans)))
        tokens = self.token_scores(segments)
        by_head = self.phrase_scores(tokens, document.occurrences)
        phrases = by_head[0] if len(by_head) == 1 else share_of_best(by_head).mean(axis=0)
        scores = group_scores(phrases[None], document.groups, self.config.merge_stems)[0]
        spelling = best_of_groups(phrases[None], document.groups)[0]
        keyphrases = [
            Keyphrase(document.phrases[spelling[group]], float(scores[group]), present=True)
            for group in np.argsort(-scores, kind="stable")[:top].tolist()
            if scores[group] > 0  # 0: every occurrence is a part of a longer phrase (Sec. 3.5)
        ]
        return Explanation(keyphrases, document.spans, share_of_best(tokens).mean(axis=0))

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
        return {"predictor": self.kind, "tagger": self.tagger.name, "config": self.config.model_dump(mode="json")}

    @override
    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
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


def _special_tokens(tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the special tokens before and after a text: int64 [tokens] each."""
    text = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    start = next(index for index in range(len(whole)) if whole[index : index + len(text)] == text)
    return np.array(whole[:start], dtype=np.int64), np.array(whole[start + len(text) :], dtype=np.int64)
