"""A bilingual corpus with a known answer, made from a seed, on which retrieval, generation and RGIT can be tried.

Every item of it (a paper, a product) has a topic, words of that topic and a few others, and keyphrases. Its English
passage and its passage in an invented language (`planted_language`) each say most of its words, in an order of their
own. Of its keyphrases some stand in both passages, some in the foreign one only, and some in the English one only: as
keyphrases of the foreign document the last are absent, and only the English keyphrases tell them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from kpray.corpus.planted_language import (
    HEADS,
    MODIFIERS,
    TOPICS,
    NounPhrase,
    Sentence,
    below,
    make_dictionary,
    shuffled,
    translate,
    write_english,
    write_invented,
)
from kpray.corpus.writing import write_text
from kpray.settings import Settings

ENGLISH, INVENTED = "en", "xx"  #: language codes of the corpus

_MODIFIED = 2 / 3  # share of keyphrases that have a modifier


class PlantedConfig(Settings):
    """How large the corpus is, and how hard."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Of all that is drawn, the invented language included."""
    topics: Annotated[int, Field(ge=2, le=len(TOPICS))] = 12
    """Topics; each has as many items as the others, but for chance."""
    topic_words: Annotated[int, Field(ge=1, le=len(TOPICS[0]))] = 12
    """Words that no other topic owns."""
    borrowed_words: Annotated[int, Field(ge=0)] = 24
    """Words of other topics that a topic has, too."""
    topic_phrases: Annotated[int, Field(ge=1, le=len(HEADS))] = 12
    """Keyphrases from which a topic's items draw theirs."""
    words: Annotated[int, Field(ge=1)] = 14
    """Words of an item that are of its topic."""
    stray_words: Annotated[int, Field(ge=0)] = 2
    """Words of an item that are of any other topics."""
    kept: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of an item's words that a passage of it says."""
    common_phrases: Annotated[int, Field(ge=0)] = 1
    """Keyphrases of an item that stand in both of its passages, and belong to both."""
    own_phrases: Annotated[int, Field(ge=0)] = 1
    """Keyphrases of an item that stand in its foreign passage, and belong to that only."""
    absent_phrases: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (1, 3)
    """Fewest and most keyphrases of an item that stand in its English passage only, and belong to both."""
    parallel: Annotated[int, Field(ge=0)] = 300
    """Foreign documents whose English passage is given."""
    passages: Annotated[int, Field(ge=0)] = 1200
    """Foreign documents whose English passage is hidden."""
    dev: Annotated[int, Field(ge=0)] = 200
    """Foreign documents to choose by."""
    test: Annotated[int, Field(ge=0)] = 300
    """Foreign documents to report on."""
    distractors: Annotated[int, Field(ge=0)] = 400
    """English documents that no foreign one belongs to."""

    @model_validator(mode="after")
    def _enough_to_draw_from(self) -> Self:
        others = (self.topics - 1) * self.topic_words
        if self.borrowed_words + self.stray_words > others:
            raise ValueError(f"borrowed_words and stray_words are more than the other topics' {others} words")
        if self.words > self.topic_words + self.borrowed_words:
            raise ValueError("words is more than topic_words and borrowed_words")
        least, most = self.absent_phrases
        if least > most:
            raise ValueError("absent_phrases: the fewest are more than the most")
        if not self.common_phrases + self.own_phrases + least:
            raise ValueError(
                "common_phrases, own_phrases and the fewest absent_phrases are 0: an item needs a keyphrase"
            )
        if self.common_phrases + self.own_phrases + most > self.topic_phrases:
            raise ValueError("common_phrases, own_phrases and the most absent_phrases are more than topic_phrases")
        return self


@dataclass(frozen=True, slots=True)
class PlantedFiles:
    """The files of a planted corpus, JSON lines; records with the fields `id`, `lang`, `text` and `keyphrases`.

    Attributes:
        english: every English document.
        parallel: foreign documents with the field `english_ids`, which names their English passage.
        passages: foreign documents without it.
        dev: like `parallel`.
        test: like `parallel`.
        hidden: the documents of `passages` with their `english_ids`: for reports, never for training.
    """

    english: Path
    parallel: Path
    passages: Path
    dev: Path
    test: Path
    hidden: Path


@dataclass(frozen=True, slots=True)
class _Topic:
    words: list[str]
    others: list[str]  # words of other topics that this one has not
    phrases: list[NounPhrase]  # no word is in two of them, so that what is absent is so word for word


@dataclass(frozen=True, slots=True)
class _Item:
    sentences: list[Sentence]  # with every keyphrase and every word
    common: list[NounPhrase]
    own: list[NounPhrase]
    absent: list[NounPhrase]


def write_planted(config: PlantedConfig, folder: Path) -> PlantedFiles:
    """Write a planted corpus: the same bytes for the same configuration on every machine.

    An item is in one part only, so no English passage belongs to documents of two parts.

    Args:
        config: what to make.
        folder: where; made if absent.
    """
    random = Random(config.seed)
    dictionary = make_dictionary(random)
    topics = _make_topics(config, random)
    sizes = {"parallel": config.parallel, "passages": config.passages, "dev": config.dev, "test": config.test}
    foreign_ids = _make_ids(INVENTED, sum(sizes.values()), random)
    english_ids = _make_ids(ENGLISH, sum(sizes.values()) + config.distractors, random)
    parts: dict[str, list[dict[str, Any]]] = {field.name: [] for field in fields(PlantedFiles)}
    for part, size in sizes.items():
        for _ in range(size):
            item = _make_item(config, topics, random)
            english = _english_record(english_ids.pop(), item, config, random)
            foreign = _foreign_record(foreign_ids.pop(), item, dictionary, config, random)
            link = {"english_ids": [english["id"]]}
            parts["english"].append(english)
            if part == "passages":
                parts["passages"].append(foreign)
                parts["hidden"].append({**foreign, **link})
            else:
                parts[part].append({**foreign, **link})
    parts["english"] += [
        _english_record(id, _make_item(config, topics, random), config, random)
        for id in english_ids  # the rest
    ]
    parts["english"].sort(key=lambda record: str(record["id"]))  # in an order that tells no part and no pair
    folder.mkdir(parents=True, exist_ok=True)
    for part, records in parts.items():
        write_text("".join(json.dumps(record) + "\n" for record in records), folder / f"{part}.jsonl")
    return PlantedFiles(**{part: folder / f"{part}.jsonl" for part in parts})


def _make_ids(lang: str, count: int, random: Random) -> list[str]:
    return [f"{lang}-{number:06}" for number in shuffled(range(count), random)]


def _make_topics(config: PlantedConfig, random: Random) -> list[_Topic]:
    owned = [shuffled(words, random)[: config.topic_words] for words in shuffled(TOPICS, random)[: config.topics]]
    topics = []
    for own in owned:
        others = shuffled([word for words in owned if words is not own for word in words], random)
        phrases: list[NounPhrase] = [
            (modifier, head) if random.random() < _MODIFIED else (head,)
            for modifier, head in zip(shuffled(MODIFIERS, random), shuffled(HEADS, random), strict=True)
        ]
        borrowed = others[: config.borrowed_words]
        topics.append(_Topic(own + borrowed, others[config.borrowed_words :], phrases[: config.topic_phrases]))
    return topics


def _make_item(config: PlantedConfig, topics: Sequence[_Topic], random: Random) -> _Item:
    topic = topics[below(random, len(topics))]
    words = shuffled(topic.words, random)[: config.words] + shuffled(topic.others, random)[: config.stray_words]
    fewest, most = config.absent_phrases
    counts = (config.common_phrases, config.own_phrases, fewest + below(random, most - fewest + 1))
    drawn = iter(shuffled(topic.phrases, random))
    common, own, absent = (list(islice(drawn, count)) for count in counts)
    subjects = common + own + absent
    # Words go to the sentences in turn, to objects and to what prepositions govern; each sentence has a keyphrase.
    places: list[list[str]] = [[] for _ in range(2 * len(subjects))]
    for place, word in enumerate(shuffled(words, random)):
        places[place % len(places)].append(word)
    phrases = [tuple(place) for place in places]
    sentences = [Sentence(*each) for each in zip(subjects, phrases[::2], phrases[1::2], strict=True)]
    return _Item(sentences, common, own, absent)


def _english_record(id: str, item: _Item, config: PlantedConfig, random: Random) -> dict[str, Any]:
    text = write_english(_make_passage(item, item.own, config.kept, random))
    keyphrases = [" ".join(phrase) for phrase in shuffled(item.common + item.absent, random)]
    return {"id": id, "lang": ENGLISH, "text": text, "keyphrases": keyphrases}


def _foreign_record(
    id: str, item: _Item, dictionary: Mapping[str, str], config: PlantedConfig, random: Random
) -> dict[str, Any]:
    sentences = _make_passage(item, item.absent, config.kept, random)
    present = [sentence.subject for sentence in sentences if sentence.subject]
    keyphrases = [" ".join(translate(phrase, dictionary)) for phrase in present + item.absent]
    return {"id": id, "lang": INVENTED, "text": write_invented(sentences, dictionary), "keyphrases": keyphrases}


def _make_passage(item: _Item, unsaid: Sequence[NounPhrase], kept: float, random: Random) -> list[Sentence]:
    """The item's sentences in an order of their own, less some words, and with the pronoun for what is unsaid."""

    def keep(phrase: NounPhrase) -> NounPhrase:
        return tuple([word for word in phrase if random.random() < kept])

    return [
        Sentence(() if subject in unsaid else subject, keep(object), keep(governed))
        for subject, object, governed in shuffled(item.sentences, random)
    ]
