"""Code-mixed inputs of the generator: English keyphrases and a passage of another language in one sequence (Sec. 4.2).

    source   [ENKPS] k [SEP] ... [SEP] k [CTX] passage     in the frame that the model knows its language by
    target   k [SEP] ... [SEP] k </s>                      after the tokens that the decoder starts with

Frames, as the models were pre-trained with them: mBART-25 `... </s> [XX]`, and its decoder starts with [XX]; mBART-50
`[XX] ... </s>`, and its decoder starts with `</s> [XX]`; models without language tokens their own special tokens.
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
"""Stands for the id of a language's token where the tokenizer has no such tokens."""
PROTOCOL = PROTOCOLS["ramkg"]


@dataclass(frozen=True, slots=True)
class Marks:
    """Ids of the tokens that divide sequences: those of this module, and the end of a sequence."""

    enkps: int
    ctx: int
    sep: int
    end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Ids before and after a source of one language, and those that the decoder starts with."""

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
    """The input of one document, at most `config.source_tokens` ids.

    Keyphrases take what the passage leaves free, and at least `config.keyphrase_tokens`, for which the passage's tail
    is cut. They are cut at a separator.

    Args:
        passage: ids of the document's text.
        keyphrases: ids of each English keyphrase, the best first; None: the passage alone, without [CTX].
        frame: of the document's language.
        marks: of the tokenizer.
        config: the limits.
    """
    room = config.source_tokens - len(frame.prefix) - len(frame.suffix)
    if keyphrases is None:
        return [*frame.prefix, *passage[:room], *frame.suffix]
    room -= 2  # [ENKPS] and [CTX]
    most = max(config.keyphrase_tokens, room - len(passage))
    hints: list[int] = []
    for phrase in keyphrases:
        joined = [*hints, marks.sep, *phrase] if hints else list(phrase)
        if len(joined) > most:
            break
        hints = joined
    return [*frame.prefix, marks.enkps, *hints, marks.ctx, *passage[: room - len(hints)], *frame.suffix]


def mix_target(keyphrases: Sequence[Sequence[int]], marks: Marks, limit: int) -> list[int]:
    """Keyphrases joined by [SEP], and the end: at most `limit` ids; a phrase that does not fit whole is left out."""
    target: list[int] = []
    for phrase in keyphrases:
        joined = [*target, marks.sep, *phrase] if target else list(phrase)
        if len(joined) < limit:
            target = joined
    return [*target, marks.end]


class CodeMixer:
    """A tokenizer as the generator uses it.

    Attributes:
        tokenizer: with the tokens of this module.
        config: the limits.
        marks: ids that divide sequences.
        pad_id: id of padding.
        forbidden: ids that are no part of a phrase, and are never generated.
    """

    def __init__(self, tokenizer: Any, config: GeneratorConfig, decoder_start: int | None = None) -> None:
        """Add the tokens of this module to a tokenizer that has them not yet.

        Args:
            tokenizer: a fast one of transformers.
            config: the limits.
            decoder_start: what the model's configuration has as `decoder_start_token_id`; None: the end.

        Raises:
            UserError: the tokenizer has no end or padding, or ends sequences with [SEP] as BERT's do.
        """
        from transformers import AddedToken

        end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
        if end is None or pad is None or tokenizer.eos_token == SEP:
            raise UserError(
                f"the tokenizer of {config.backbone!r} has no tokens for the end of a sequence and for padding",
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
        """Id of a language's token, or `NO_LANGUAGE`; raises a `UserError` as `language_code`."""
        code = language_code(lang, self.tokenizer, where=where)
        return NO_LANGUAGE if code is None else int(self.tokenizer.convert_tokens_to_ids(code))

    def frame(self, language: int) -> Frame:
        """The frame of a language, given the id of its token, or `NO_LANGUAGE`."""
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
        if unnamed.isdisjoint([*prefix, *suffix]):  # the tokenizer leaves the language to us
            return Frame(tuple(prefix), (self.marks.end, language), (language,))
        prefix, suffix = ([language if id in unnamed else id for id in ids] for ids in (prefix, suffix))
        start = (language,) if language in suffix else (self._start, *prefix)
        return Frame(tuple(prefix), tuple(suffix), start)

    def sources(
        self, texts: Sequence[str], languages: Sequence[int], english: Sequence[Sequence[str]]
    ) -> list[np.ndarray | str]:
        """Inputs of documents, int32 [S] each, or the reason why a document has none.

        Args:
            texts: of the documents.
            languages: ids from `language`.
            english: of each document the keyphrases of the English passages that go with it, the best first; those
                that the protocol `ramkg` takes for the same are one. With `config.passages` 0 they are left aside.
        """
        hints: list[list[str]] = []
        if self.config.passages:
            hints = [list(unique_phrases(phrases, "en", PROTOCOL.normalization).values()) for phrases in english]
        passages = self._encode(texts)
        phrases = iter(self._encode([phrase for phrases in hints for phrase in phrases]))
        sources: list[np.ndarray | str] = []
        for place, (passage, language) in enumerate(zip(passages, languages, strict=True)):
            own = [ids for ids in (next(phrases) for _ in hints[place]) if ids] if hints else None
            if not passage:
                sources.append(_no_ids(passage, "the text"))
                continue
            ids = mix_source(passage, own, self.frame(language), self.marks, self.config)
            sources.append(np.array(ids, dtype=np.int32))
        return sources

    def targets(self, keyphrases: Sequence[Sequence[str]]) -> list[np.ndarray | str]:
        """What is to be generated for documents, int32 [T] each with its end, or the reason why there is nothing.

        Args:
            keyphrases: of each document, in the order of the data set; those that the protocol `ramkg` takes for the
                same are one.
        """
        phrases = [list(unique_phrases(own, "en", PROTOCOL.normalization).values()) for own in keyphrases]
        encoded = iter(self._encode([phrase for own in phrases for phrase in own]))
        targets: list[np.ndarray | str] = []
        for own in phrases:
            ids = [next(encoded) for _ in own]
            target = mix_target([phrase for phrase in ids if phrase], self.marks, self.config.target_tokens)
            if not own:
                targets.append("no gold keyphrase")
            elif None in ids:
                targets.append(_no_ids(None, "a keyphrase"))
            elif len(target) == 1:
                targets.append(f"no gold keyphrase has tokens, and fewer than {self.config.target_tokens}")
            else:
                targets.append(np.array(target, dtype=np.int32))
        return targets

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a phrase."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.split())

    def _encode(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Ids of each text, none of them of a special token; None where it is not valid Unicode."""
        valid = [_is_unicode(text) for text in texts]
        # A document that says "[SEP]" has no such token. Each call of the tokenizer itself forgets it.
        self._backend.encode_special_tokens = True
        encodings = self._backend.encode_batch_fast(
            [text if known else "" for text, known in zip(texts, valid, strict=True)], add_special_tokens=False
        )
        # mBART's tokenizer has its language codes, </s> and the like among the pieces of words, too.
        return [
            [id for id in encoding.ids if id not in self._dropped] if known else None
            for encoding, known in zip(encodings, valid, strict=True)
        ]


@cache
def load_mixer(config: GeneratorConfig) -> CodeMixer:
    """The tokenizer of `config.backbone`; a process loads it once.

    Raises:
        UserError: it cannot be loaded, or the model is no sequence-to-sequence model, or too short for the limits.
    """
    from transformers import AutoConfig

    model = load_pretrained(AutoConfig, config.backbone)
    if not model.is_encoder_decoder:
        raise UserError(
            f"{config.backbone!r} is no sequence-to-sequence model",
            where="backbone",
            fix="choose a model such as mBART, mT5 or BART",
        )
    positions = getattr(model, "max_position_embeddings", None)  # T5 has none: its positions are relative
    for limit in ("source_tokens", "target_tokens"):
        # The decoder starts with up to two tokens, and does not read the last that it writes.
        if positions is not None and getattr(config, limit) + (limit == "target_tokens") > positions:
            raise UserError(
                f"is {getattr(config, limit)}, but {config.backbone!r} has {positions} positions",
                where=limit,
                fix="give fewer tokens, or choose another model",
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
