"""Korean words: nouns without their particles, and verbs, by their endings. A noun and its particles are one word."""

from __future__ import annotations

import re

# Particles that are stripped from any noun, and those that are often the last syllable of a noun.
_CLEAR = frozenset(
    """
    에서는 에서의 으로부터 으로서 으로써 에서도 에게서 에서 에게 으로 까지 부터 보다 마다 처럼 이라는 라는
    에는 에도 을 를 은 는 의 에 와
    """.split()
)
_UNCLEAR = frozenset("로서 로써 로는 이나 이란 과의 와의 로의 이 가 로 과 도 만 란 나 인 입니다".split())
_PARTICLES = _CLEAR | _UNCLEAR
# Nouns that end like a noun with a particle.
_WHOLE_NOUN = re.compile(
    r".*(?:평가|증가|추가|국가|부가|인가|허가|작가|전문가|물가|대가|결과|효과|성과|통과|초과|경과|학과|사과|회로|경로|도로|선로|진로|통로|"
    r"제로|정도|온도|속도|각도|밀도|강도|농도|습도|용도|제도|지도|태도|한도|빈도|해상도|정밀도|정확도|복잡도|감도|경도|고도|명도|"
    r"신뢰도|만족도|유사도|차이|길이|높이|깊이|넓이|사이|변이|전이|레이|웨이|바이|라이|파이|타이|아이|나이|놀이|종이|비만|불만|"
    r".[인란나])"
)
# Words with little meaning of their own, which the list of stop words lacks.
_STOP_WORDS = frozenset(
    "본 논문 수 뒤 때 중 등 및 경우 각 위 후 것 이에 이때 이전 다음 첫 번째 하나 둘 기존 다른 모든 여러 매우".split()
)
_VERB = re.compile(
    r".*(?:하여|하고|하기|하며|하지|해서|하면|하는|하게|하도록|하였고|하였으며|했으며|함으로써|함을|함에|하여야|하고자|"
    r"되는|되어|되고|되며|되지|되었으며|되도록|시키는|시켜|시킬|시키기|시킴|있는|있으며|있도록|있음|있지|있고|없는|않는|않은|않고|"
    r"갖는|갖고|얻은|얻을|얻기|어진|아진|여진|해진|져서|으며|면서|고자|도록|려면|였고|었고|았고|"
    r"위한|위하여|위해|통해|통한|통하여|대한|대해|대하여|따라|따른|의한|의해|의하여|관한|같은|같이|다양한|새로운)"
    r"|.{2,}다|[있없이하한되된같]다|.{2,}(?:한|할|함|된|될|됨|하|되|해|적인|스러운|로운)"
)
_HANGUL = re.compile(r"[가-힣]+")


def split_korean_particles(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Split the particles from the words: 함수를 becomes 함수 and 를.

    Args:
        text: the document.
        spans: (start, end) character offsets of its words.
    """
    texts = [text[start:end] for start, end in spans]
    stems: dict[str, set[str]] = {}
    for word in texts:
        stems.setdefault(word, set()).add("")
        for stem, particle in _particles(word):
            stems.setdefault(stem, set()).add(particle)
    split = []
    for (start, end), word in zip(spans, texts, strict=True):
        stem = next(
            (
                stem
                for stem, particle in _particles(word)
                # The noun also occurs without the particle or with another one, or the word is no noun as it is.
                if particle in _CLEAR or len(stems[stem]) > 1 or not _WHOLE_NOUN.fullmatch(word)
            ),
            word,
        )
        split.append((start, start + len(stem)))
        if len(stem) < len(word):
            split.append((start + len(stem), end))
    return split


def _particles(word: str) -> list[tuple[str, str]]:
    """The (noun, particle) that a word may consist of, the longest particle first."""
    ending = re.search(r"[가-힣]+$", word)
    if ending is None or _VERB.fullmatch(word):
        return []
    return [
        (word[:-length], word[-length:])
        for length in (3, 2, 1)
        if len(word) - length >= (2 if length == 1 else 1) and word[-length:] in _PARTICLES
    ]


def is_korean_ending(word: str) -> bool:
    """Whether a Korean word is a verb, a word without meaning, or a particle that was split from its noun."""
    return (
        word in _PARTICLES
        or word in _STOP_WORDS
        or (_HANGUL.fullmatch(word) is not None and _VERB.fullmatch(word) is not None)
    )
