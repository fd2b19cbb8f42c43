"""Model inputs: the tokens [CLS] X [SEP] K [SEP] of a text (Eq. 1), training rows, and batches of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.pretrained import load_tokenizer
from kpray.text.stems import UNSPACED
from kpray.text.words import sentence_spans
from kpray.unikeyphrase.config import ModelConfig
from kpray.unikeyphrase.labels import find_gold_spans, label_tokens, split_present_absent

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

_RANDOM_FROM, _KEPT_FROM = 0.8, 0.9  # BERT: 80% [MASK], 10% random tokens, 10% unchanged
NO_LABEL = -100
"""Label of tokens that the loss ignores: special tokens and padding."""
# Spaces that the decoder of a BERT tokenizer adds: peer - to - peer, ( lda ), c + +, fitts ' law (but "fitts' law"),
# and between Chinese characters. Without them, 99.7% of the gold phrases of 5,000 ACM papers are decoded unchanged.
_NEEDLESS_SPACE = regex.compile(
    r" (?=[-/‐‑.'’:,)\]+#])|(?<=[-/‐‑.(\[]) |(?<=[^s] ['’]) " + rf"|(?<=[{UNSPACED}]) (?=[{UNSPACED}])"
)


@dataclass(frozen=True, slots=True)
class Source:
    """The tokens of a document, with [CLS] and [SEP] around them.

    Attributes:
        ids: int32 [S].
        spans: int32 [S, 2], character offsets; (0, 0) for [CLS] and [SEP].
        starts_word: bool [S], True for the first piece of each word; False for [CLS] and [SEP].
    """

    ids: np.ndarray
    spans: np.ndarray
    starts_word: np.ndarray


class Encoder:
    """A BERT tokenizer with the encodings of UniKeyphrase. The tokenizer alone decides about lower-casing.

    Attributes:
        cls_id, sep_id, mask_id, pad_id: ids of the special tokens.
        delimiter_ids: ids of " ; ", the delimiter between absent phrases (App. C).
        vocabulary_size: number of token ids.
        checksum: checksum of everything that determines its output.
    """

    def __init__(self, name: str) -> None:
        """Load the tokenizer of a model.

        Args:
            name: folder with tokenizer.json, or hub id.

        Raises:
            UserError: it cannot be loaded, or is not of BERT type.
        """
        tokenizer = load_tokenizer(name)
        special = [getattr(tokenizer, f"{kind}_token_id") for kind in ("cls", "sep", "mask", "pad")]
        if None in special:
            raise UserError(
                f"the tokenizer of {name!r} has no [CLS], [SEP], [MASK] or [PAD]",
                where="model",
                fix="choose a model of BERT type",
            )
        self.cls_id, self.sep_id, self.mask_id, self.pad_id = special
        self.vocabulary_size = len(tokenizer)
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True  # the text "[SEP]" in a document is ordinary text
        self.checksum: str = hashlib.sha256(self._backend.to_str().encode()).hexdigest()[:16]
        self.delimiter_ids: list[int] = self._encode(" ; ").ids
        if not self.delimiter_ids or tokenizer.unk_token_id in self.delimiter_ids:
            raise UserError(f'the tokenizer of {name!r} does not know ";"', where="model", fix="choose another model")

    def encode_source(self, text: str, limit: int) -> Source:
        """Tokenize a document, to at most `limit` tokens with [CLS] and [SEP]. The rest is cut at a word boundary.

        Raises:
            RejectedDocument: the text is not valid Unicode.
        """
        windows = self.encode_windows(text, limit, 1)
        return windows[0] if windows else self._source(np.zeros(0), np.zeros((0, 2)), np.zeros(0, dtype=bool))

    def encode_windows(self, text: str, limit: int, windows: int) -> list[Source]:
        """Tokenize a document in windows of at most `limit` tokens with [CLS] and [SEP]; see `window_bounds`.

        Args:
            text: text of the document.
            limit: maximum number of tokens in a window.
            windows: maximum number of windows. The rest is cut at a word boundary.

        Returns:
            Windows with at least one token each; none for a text without tokens.

        Raises:
            RejectedDocument: the text is not valid Unicode.
        """
        encoding = self._encode(text)
        ids = np.array(encoding.ids, dtype=np.int32)
        spans = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        words = np.array(encoding.word_ids, dtype=np.int64)
        starts_word = np.diff(words, prepend=-1) != 0
        sentences = np.zeros(0, dtype=np.int64)
        if len(ids) > limit - 2 and windows > 1:
            sentences = np.searchsorted(spans[:, 0], [start for start, _ in sentence_spans(text)])
        return [
            self._source(ids[start:end], spans[start:end], starts_word[start:end])
            for start, end in window_bounds(starts_word, sentences, limit - 2, windows)
        ]

    def _source(self, ids: np.ndarray, spans: np.ndarray, starts_word: np.ndarray) -> Source:
        """Add [CLS] and [SEP] to the tokens of a text."""
        return Source(
            ids=np.concatenate([[self.cls_id], ids, [self.sep_id]]).astype(np.int32),
            spans=np.pad(spans, ((1, 1), (0, 0))).astype(np.int32),
            starts_word=np.pad(starts_word, 1),
        )

    def encode_target(self, phrases: Sequence[str], limit: int) -> np.ndarray:
        """Tokenize phrases joined by " ; " and a final [SEP]. Phrases that do not fit completely are left out.

        Returns:
            int32 [t], 1 <= t <= limit.

        Raises:
            RejectedDocument: a phrase is not valid Unicode.
        """
        target: list[int] = []
        for phrase in phrases:
            ids = self._encode(phrase).ids
            joined = [*target, *self.delimiter_ids, *ids] if target else ids
            if ids and len(joined) < limit:
                target = joined
        return np.array([*target, self.sep_id], dtype=np.int32)

    def encode_set(self, phrases: Sequence[str], limit: int, slots: int) -> np.ndarray:
        """Tokenize phrases for slots: each with a final [SEP], then a [SEP] for each slot that is left.

        Phrases of more than `limit` tokens with their [SEP], and phrases after the first `slots`, are left out.

        Returns:
            int32 [t], with exactly `slots` times [SEP].

        Raises:
            RejectedDocument: a phrase is not valid Unicode.
        """
        encoded = [self._encode(phrase).ids for phrase in phrases]
        kept = [ids for ids in encoded if 0 < len(ids) < limit][:slots]
        kept += [[]] * (slots - len(kept))
        return np.array([token for ids in kept for token in (*ids, self.sep_id)], dtype=np.int32)

    def decode_target(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """The phrases of a generated sequence up to its first [SEP], without special tokens and empty phrases."""
        phrases: list[list[int]] = [[]]
        for token in np.asarray(ids).tolist():
            if token == self.sep_id:
                break
            phrases[-1].append(token)
            if phrases[-1][-len(self.delimiter_ids) :] == self.delimiter_ids:
                del phrases[-1][-len(self.delimiter_ids) :]
                phrases.append([])
        texts = [
            self._tokenizer.decode(phrase, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for phrase in phrases
        ]
        return [text for text in (_NEEDLESS_SPACE.sub("", " ".join(text.split())) for text in texts) if text]

    def save(self, folder: Path) -> None:
        """Write the files of the tokenizer, from which `Encoder(folder)` loads the same tokenizer."""
        self._tokenizer.save_pretrained(folder)

    def _encode(self, text: str) -> Any:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RejectedDocument("invalid Unicode (a lone surrogate)") from error
        return self._backend.encode(text, add_special_tokens=False)


def window_bounds(starts_word: np.ndarray, sentences: np.ndarray, room: int, windows: int) -> list[tuple[int, int]]:
    """Cut the tokens of a document into windows without overlap.

    A window ends where the last sentence ends that fits, so that no phrase is cut. If no sentence ends in its last
    quarter, it ends between two words, and so does the last window, where the rest of the document is cut. A word that
    is longer than a window is skipped.

    Args:
        starts_word: bool [S], True for the first piece of a word.
        sentences: int64 [sentences], index of the first token of each sentence.
        room: maximum number of tokens in a window.
        windows: maximum number of windows.

    Returns:
        (first token, one past the last token) of each window.
    """
    cuts = np.append(np.flatnonzero(starts_word), len(starts_word))
    sentences = np.intersect1d(sentences, cuts)
    bounds: list[tuple[int, int]] = []
    start = 0
    for number in range(1, windows + 1):
        if start == len(starts_word):
            break
        end = int(cuts[np.searchsorted(cuts, start + room, side="right") - 1])
        if end < len(starts_word) and number < windows:
            ends = sentences[(sentences > start + room - room // 4) & (sentences <= end)]
            end = int(ends[-1]) if len(ends) else end
        if end > start:
            bounds.append((start, end))
            start = end
        else:
            start = int(cuts[np.searchsorted(cuts, start, side="right")])
    return bounds


@cache
def load_encoder(name: str) -> Encoder:
    """`Encoder(name)`, loaded once in each process."""
    return Encoder(name)


def row_schema() -> pa.Schema:
    """Columns of a training row.

    `source` includes [CLS] and [SEP]; `labels` has as many values, -100 for these two; `target` includes the final
    [SEP], or the [SEP] of each slot (`ModelConfig.target` set); `title` is the number of tokens of the title, which
    follow [CLS]; `length` is the number of tokens of source and target.
    """
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("lang", pa.string()),
            ("source", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.int8())),
            ("target", pa.list_(pa.int32())),
            ("title", pa.int32()),
            ("length", pa.int32()),
        ]
    )


def describe_rows(config: ModelConfig) -> dict[str, Any]:
    """Everything that `make_row` depends on, as JSON values. Of the backbone only the tokenizer matters."""
    names = {"source_tokens", "target_tokens", "label_match", "target"}
    if config.target == "set":
        names.add("slots")
    return {
        "rows": "unikeyphrase",
        "tokenizer": load_encoder(config.backbone).checksum,
        **config.model_dump(mode="json", include=names),
    }


def make_row(record: Record, encoder: Encoder, config: ModelConfig) -> dict[str, Any] | str:
    """Make a row of `row_schema` with the gold phrases of a record, or return the reason why the record is rejected.

    A gold phrase that occurs only after the cut is neither labelled nor generated.
    """
    document = record.document
    text = document.text
    present, absent = split_present_absent(text, record.keyphrases, document.lang, config.label_match)
    if not present and not absent:
        return "no gold keyphrase"
    try:
        source = encoder.encode_source(text, config.source_tokens)
        if config.target == "set":
            target = encoder.encode_set(absent, config.target_tokens, config.slots)
        else:
            phrases = absent if config.target == "absent" else present + absent
            target = encoder.encode_target(phrases, config.target_tokens)
    except RejectedDocument as error:
        return error.reason
    if not source.starts_word.any():
        return "the text has no token"
    spans, starts_word = source.spans[1:-1], source.starts_word[1:-1]
    gold = find_gold_spans(text, present, document.lang, config.label_match)
    whole = [span for span in gold if span[1] <= spans[-1, 1]]  # a phrase that the cut splits has no label
    labels = np.full(len(source.ids), NO_LABEL, dtype=np.int8)
    labels[1:-1] = label_tokens(spans, starts_word, whole)
    return {
        "id": document.id,
        "lang": document.lang,
        "source": source.ids,
        "labels": labels,
        "target": target,
        "title": int(np.searchsorted(spans[:, 1], len(document.title), side="right")) if document.body else 0,
        "length": len(source.ids) + len(target),
    }


def collate(
    rows: Sequence[Mapping[str, np.ndarray]],
    seeds: Sequence[int],
    *,
    mask_id: int,
    pad_id: int,
    mask_probability: float,
    random_ids: int = 0,
    unmasked_rows: bool = True,
) -> dict[str, torch.Tensor]:
    """Make a batch: source and target of each row, with target tokens masked at random, then padding.

    Args:
        rows: columns `source`, `labels` and `target` of `row_schema`.
        seeds: one for each row. The masks of a row depend only on its seed.
        mask_id: id of [MASK].
        pad_id: id of [PAD].
        mask_probability: probability of masking a target token, including the final [SEP].
        random_ids: 0: every masked token becomes [MASK]. Otherwise the size of the vocabulary: 80% of the masked tokens
            become [MASK], 10% become a random token, and 10% stay unchanged, as in BERT.
        unmasked_rows: whether the losses also need the target tokens that are not masked.

    Returns:
        `input_ids` int64 [B, T]; `source_lengths`, `lengths` int64 [B]; `labels` int64 [B, S], -100 where there is
        none; and for all N target tokens, or the N masked ones, `target_rows` int64 [N], their indices in the flattened
        `input_ids`, `target_ids` int64 [N] before masking, `target_masked` bool [N].
    """
    import torch

    source_lengths = np.array([len(row["source"]) for row in rows], dtype=np.int64)
    target_lengths = np.array([len(row["target"]) for row in rows], dtype=np.int64)
    lengths = source_lengths + target_lengths
    row_starts = np.arange(len(rows)) * lengths.max()
    target_rows = _ranges(row_starts + source_lengths, target_lengths)
    target_ids = np.concatenate([row["target"] for row in rows]).astype(np.int64)
    draws = [
        np.random.default_rng(seed).random((3, length))
        for seed, length in zip(seeds, target_lengths.tolist(), strict=True)
    ]
    drawn, kinds, others = np.concatenate(draws, axis=1)
    target_masked = drawn < mask_probability
    input_ids = np.full((len(rows), lengths.max()), pad_id, dtype=np.int64)
    input_ids.ravel()[_ranges(row_starts, source_lengths)] = np.concatenate([row["source"] for row in rows])
    input_ids.ravel()[target_rows] = np.where(
        target_masked, replace_masked(target_ids, kinds, others, mask_id, random_ids), target_ids
    )
    labels = np.full((len(rows), source_lengths.max()), NO_LABEL, dtype=np.int64)
    label_rows = _ranges(np.arange(len(rows)) * source_lengths.max(), source_lengths)
    labels.ravel()[label_rows] = np.concatenate([row["labels"] for row in rows])
    kept = np.ones_like(target_masked) if unmasked_rows else target_masked
    batch = {
        "input_ids": input_ids,
        "source_lengths": source_lengths,
        "lengths": lengths,
        "labels": labels,
        "target_rows": target_rows[kept],
        "target_ids": target_ids[kept],
        "target_masked": target_masked[kept],
    }
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def replace_masked(ids: np.ndarray, kinds: np.ndarray, others: np.ndarray, mask_id: int, random_ids: int) -> np.ndarray:
    """Replacements of masked tokens: int64 [N], from ids int64 [N] and two random numbers for each, float64 [N]."""
    if not random_ids:
        return np.full_like(ids, mask_id)
    chosen = np.where(kinds < _RANDOM_FROM, mask_id, (others * random_ids).astype(np.int64))
    return np.where(kinds < _KEPT_FROM, chosen, ids)


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenated ranges start, start + 1, ..., start + length - 1: int64 [sum of lengths]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())
