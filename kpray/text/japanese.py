"""Japanese words: compound nouns, found by BudouX, by their script and by the particle after them."""

from __future__ import annotations

import re
from itertools import pairwise

from kpray.text.segmenters import budoux_segmenter, split_pieces
from kpray.text.words import Words

_KANA_ONLY = re.compile(r"[ぁ-ゖー]+")
_KANA_LAST = re.compile(r".*[ぁ-ゖ]")
_COUNTER = r"(?:[年月週日時分秒人回件個円度位歳票倍目間％%]|[カか][国月所])"
_NUMBER = rf"(?<![A-Za-z0-9０-９-])第?[0-9０-９][0-9０-９.,，．]*{_COUNTER}*"
_COUNTED = re.compile(_NUMBER)
# One piece each: a foreign name with dots inside, a number with what it counts.
_WHOLE = re.compile(rf"[ァ-ヺー]+(?:[・･][ァ-ヺー]+)+|{_NUMBER}")
#: Only nouns are before these particles.
_AFTER_NOUNS = frozenset("が を".split())
#: Titles and endings, which are no part of a compound.
_ENDINGS = frozenset("氏 さん 様 君 的 等".split())
#: Nouns that say little alone.
_GENERAL = frozenset(
    """
    今回 今後 今年 来年 昨年 現在 以上 以下 以降 一方 場合 必要 可能 重要 同様 約 各 同 何 こと もの とき ところ よう
    ため ほか それぞれ
    """.split()
)


def split_japanese(text: str) -> Words:
    """Split a text into words. A compound noun is one word."""
    segment = budoux_segmenter("ja_word")
    pieces: list[str] = []
    end = 0
    for match in _WHOLE.finditer(text):
        pieces += [*segment(text[end : match.start()]), match[0]]
        end = match.end()
    pieces += segment(text[end:])
    joined: list[str] = []
    inside = False
    nominal = _before_particles(pieces)
    for piece in pieces:
        noun = _is_noun(piece, nominal)
        if inside and noun:
            joined[-1] += piece
        else:
            joined.append(piece)
        inside = noun
    return split_pieces(text, joined)


def japanese_nouns(words: Words) -> list[bool]:
    """Whether each word is a noun that says something.

    A word in kanji, katakana or Latin letters is. A word that ends in hiragana is a verb, an adjective or a particle,
    except where the text has it before a particle that follows nouns.
    """
    nominal = _before_particles(words.texts)
    return [word not in _GENERAL and _is_noun(word, nominal) for word in words.texts]


def _before_particles(words: list[str]) -> set[str]:
    return {word for word, after in pairwise(words) if after in _AFTER_NOUNS}


def _is_noun(word: str, nominal: set[str]) -> bool:
    if word in _ENDINGS or _COUNTED.fullmatch(word) or not any(map(str.isalnum, word)):
        return False
    if _KANA_ONLY.fullmatch(word):
        return word in nominal and len(word) > 2  # shorter ones are particles more often
    return word in nominal or _KANA_LAST.fullmatch(word) is None
