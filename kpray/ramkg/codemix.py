"""Code-mixed inputs of the generator: English keyphrases and a passage of another language in one sequence (Sec. 4.2).

    source   [ENKPS] k [SEP] ... [SEP] k [CTX] passage     inside the frame of the model and language
    target   k [SEP] ... [SEP] k </s>                      after the decoder's start tokens

The frame is the special tokens around a source, and the decoder's start tokens. It is the one from pre-training:
`... </s> [XX]` for mBART-25, whose decoder starts with [XX]; `[XX] ... </s>` for mBART-50, whose decoder starts with
`</s> [XX]`; the usual special tokens for models without language tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kpray.errors import UserError
from kpray.metrics.normalization import unique_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.pretrained import load_pretrained, load_tokenizer
from kpray.ramkg.config import GeneratorConfig
from kpray.ramkg.languages import language_code, unnamed_tokens

ENKPS, CTX, SEP = "[ENKPS]", "[CTX]", "[SEP]"
NO_LANGUAGE = -1
"""Replaces the id of a language token if the tokenizer has no language tokens."""
PROTOCOL = PROTOCOLS["ramkg"]


@dataclass(frozen=True, slots=True)
class Marks:
    """Ids of [ENKPS], [CTX], [SEP] and the end token."""

    enkps: int
    ctx: int
    sep: int
    end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Token ids before and after a source in one language, and the decoder's start tokens."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    start: tuple[int, ...]


def mix_source(
    passage: Sequence[int],
    keyphrases: Sequence[Sequence[int]] | None,
    frame: Frame,
    marks: Marks,
    config: GeneratorConfig,
) -> list[int]:
    """Make the input of one document, at most `config.source_tokens` ids.

    The keyphrases may use the space that the passage leaves free, but at least `config.keyphrase_tokens`; if necessary,
    the end of the passage is cut. Keyphrases that do not fit are dropped as a whole.

    Args:
        passage: token ids of the document's text.
        keyphrases: token ids of each English keyphrase, best first; None: only the passage, without [CTX].
        frame: frame of the document's language.
        marks: ids of the separators.
        config: limits of the lengths.
    """
    room = config.source_tokens - len(frame.prefix) - len(frame.suffix)
    if keyphrases is None:
        return [*frame.prefix, *passage[:room], *frame.suffix]
    room -= 2  # [ENKPS] and [CTX]
    limit = max(config.keyphrase_tokens, room - len(passage))
    hints: list[int] = []
    for phrase in keyphrases:
        joined = [*hints, marks.sep, *phrase] if hints else list(phrase)
        if len(joined) > limit:
            break
        hints = joined
    return [*frame.prefix, marks.enkps, *hints, marks.ctx, *passage[: room - len(hints)], *frame.suffix]


def mix_target(keyphrases: Sequence[Sequence[int]], marks: Marks, limit: int) -> list[int]:
    """Keyphrases joined with [SEP], and the end token: at most `limit` ids. Phrases that do not fit are left out."""
    target: list[int] = []
    for phrase in keyphrases:
        joined = [*target, marks.sep, *phrase] if target else list(phrase)
        if len(joined) < limit:
            target = joined
    return [*target, marks.end]


class CodeMixer:
    """Makes the generator's inputs and targets with a tokenizer.

    Attributes:
        tokenizer: the tokenizer, with [ENKPS], [CTX] and [SEP].
        config: limits of the lengths.
        marks: ids of the separators and of the end token.
        pad_id: id of padding.
        forbidden: ids of special tokens that must not be generated.
    """

    def __init__(self, tokenizer: Any, config: GeneratorConfig, decoder_start: int | None = None) -> None:
        """Add the tokens [ENKPS], [CTX] and [SEP] to the tokenizer if it lacks them.

        Args:
            tokenizer: a fast tokenizer of transformers.
            config: limits of the lengths.
            decoder_start: `decoder_start_token_id` of the model's configuration; None: the end token.

        Raises:
            UserError: the tokenizer has no end token or padding token, or its end token is [SEP], as in BERT.
        """
        from transformers import AddedToken

        end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
        if end is None or pad is None or tokenizer.eos_token == SEP:
            raise UserError(
                f"the tokenizer of {config.backbone!r} is not for generation: it needs an end token other than [SEP] "
                "and a padding token",
                where="backbone",
                fix="choose a model such as mBART, mT5 or BART",
            )
        new = [AddedToken(token, special=True, normalized=False) for token in (ENKPS, CTX, SEP)]
        tokenizer.add_tokens(new, special_tokens=True)
        self.tokenizer, self.config, self.pad_id = tokenizer, config, pad
        enkps, ctx, sep = tokenizer.convert_tokens_to_ids([ENKPS, CTX, SEP])
        self.marks = Marks(enkps, ctx, sep, end)
        self._start = end if decoder_start is None else decoder_start
        special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.forbidden = sorted(special - {sep, end})
        self._dropped = special - {tokenizer.unk_token_id}
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._frames: dict[int, Frame] = {}

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.tokenizer)

    def language(self, lang: str, *, where: str = "lang") -> int:
        """Id of the token of a language, or `NO_LANGUAGE`.

        Raises:
            UserError: see `language_code`.
        """
        code = language_code(lang, self.tokenizer, where=where)
        return NO_LANGUAGE if code is None else int(self.tokenizer.convert_tokens_to_ids(code))

    def frame(self, language: int) -> Frame:
        """Frame of a language; `language` is an id from `language`."""
        if language not in self._frames:
            self._frames[language] = self._make_frame(language)
        return self._frames[language]

    def _make_frame(self, language: int) -> Frame:
        encoding = self._backend.encode("a", add_special_tokens=True)
        first, last = (mask.index(0) for mask in (encoding.special_tokens_mask, encoding.special_tokens_mask[::-1]))
        prefix, suffix = encoding.ids[:first], encoding.ids[len(encoding.ids) - last :]
        if language == NO_LANGUAGE:
            return Frame(tuple(prefix), tuple(suffix), (self._start, *prefix))
        unnamed = set(self.tokenizer.convert_tokens_to_ids(unnamed_tokens(self.tokenizer)))
        if unnamed.isdisjoint([*prefix, *suffix]):  # the tokenizer adds no language token
            return Frame(tuple(prefix), (self.marks.end, language), (language,))
        prefix, suffix = ([language if id in unnamed else id for id in ids] for ids in (prefix, suffix))
        start = (language,) if language in suffix else (self._start, *prefix)
        return Frame(tuple(prefix), tuple(suffix), start)

    def sources(
        self, texts: Sequence[str], languages: Sequence[int], english: Sequence[Sequence[str]]
    ) -> list[np.ndarray | str]:
        """Make the inputs of documents.

        Args:
            texts: texts of the documents.
            languages: ids from `language`.
            english: for each document, the keyphrases of its English passages, best first. Duplicates under the
                protocol `ramkg` are dropped. If `config.passages` is 0, they are ignored.

        Returns:
            For each document its token ids, int32 [S], or the reason why the document cannot be read.
        """
        hints = self.hints(english) if self.config.passages else []
        passages = self._encode(texts)
        sources: list[np.ndarray | str] = []
        for index, (passage, language) in enumerate(zip(passages, languages, strict=True)):
            keyphrases = [ids for _, ids in hints[index]] if hints else None
            if not passage:
                sources.append(_no_ids(passage, "the text"))
                continue
            ids = mix_source(passage, keyphrases, self.frame(language), self.marks, self.config)
            sources.append(np.array(ids, dtype=np.int32))
        return sources

    def hints(self, english: Sequence[Sequence[str]]) -> list[list[tuple[str, list[int]]]]:
        """The keyphrases that `sources` puts into each input, in order, as long as there is space: (text, token ids).

        Args:
            english: for each document, the keyphrases of its English passages, best first.
        """
        unique = [list(unique_phrases(phrases, "en", PROTOCOL.normalization).values()) for phrases in english]
        encoded = iter(self._encode([phrase for phrases in unique for phrase in phrases]))
        return [[(phrase, ids) for phrase in phrases if (ids := next(encoded))] for phrases in unique]

    def targets(self, keyphrases: Sequence[Sequence[str]]) -> list[np.ndarray | str]:
        """Make the targets of documents.

        Args:
            keyphrases: gold keyphrases of each document, in the order of the dataset. Duplicates under the protocol
                `ramkg` are dropped.

        Returns:
            For each document its target ids with the end token, int32 [T], or the reason why it has no target.
        """
        gold = [list(unique_phrases(phrases, "en", PROTOCOL.normalization).values()) for phrases in keyphrases]
        encoded = iter(self._encode([phrase for phrases in gold for phrase in phrases]))
        targets: list[np.ndarray | str] = []
        for phrases in gold:
            ids = [next(encoded) for _ in phrases]
            target = mix_target([phrase for phrase in ids if phrase], self.marks, self.config.target_tokens)
            if not phrases:
                targets.append("no gold keyphrase")
            elif None in ids:
                targets.append(_no_ids(None, "a keyphrase"))
            elif len(target) == 1:
                targets.append(f"no gold keyphrase has between 1 and {self.config.target_tokens - 1} tokens")
            else:
                targets.append(np.array(target, dtype=np.int32))
        return targets

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a phrase from its token ids."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.split())

    def _encode(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Token ids of each text, without special tokens; None if the text is not valid Unicode."""
        valid = [_is_unicode(text) for text in texts]
        # "[SEP]" in a document is plain text. Each call of the tokenizer resets this flag, so it is set here.
        self._backend.encode_special_tokens = True
        encodings = self._backend.encode_batch_fast(
            [text if known else "" for text, known in zip(texts, valid, strict=True)], add_special_tokens=False
        )
        # mBART's tokenizer also has language codes, </s> and other special tokens among its word pieces.
        return [
            [id for id in encoding.ids if id not in self._dropped] if known else None
            for encoding, known in zip(encodings, valid, strict=True)
        ]


@cache
def load_mixer(config: GeneratorConfig) -> CodeMixer:
    """The `CodeMixer` of `config.backbone`, loaded once per process.

    Raises:
        UserError: the backbone cannot be loaded, is not a sequence-to-sequence model, or has too few positions.
    """
    from transformers import AutoConfig

    model = load_pretrained(AutoConfig, config.backbone)
    if not model.is_encoder_decoder:
        raise UserError(
            f"{config.backbone!r} is not a sequence-to-sequence model",
            where="backbone",
            fix="choose a model such as mBART, mT5 or BART",
        )
    positions = getattr(model, "max_position_embeddings", None)  # T5 has none: its positions are relative
    for limit in ("source_tokens", "target_tokens"):
        # The decoder has up to two start tokens and does not read the last token that it generates.
        if positions is not None and getattr(config, limit) + (limit == "target_tokens") > positions:
            raise UserError(
                f"{getattr(config, limit)} tokens are too many: {config.backbone!r} has {positions} positions",
                where=limit,
                fix="give a smaller number, or choose another model",
            )
    start = getattr(model, "decoder_start_token_id", None)
    return CodeMixer(load_tokenizer(config.backbone), config, start)


def _no_ids(ids: list[int] | None, what: str) -> str:
    return f"{what} is not valid Unicode (a lone surrogate)" if ids is None else f"{what} has no token"


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
