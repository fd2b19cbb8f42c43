"""A synthetic bilingual corpus with known answers, to test retrieval, generation and RGIT.

Each item (such as a paper or a product) has a topic, words of that topic, a few other words, and keyphrases. It has a
passage in English and one in an invented language (`planted_language`). Each passage contains most of the item's words,
in a random order. Some keyphrases occur in both passages, some only in the foreign one and some only in the English
one. The last are absent keyphrases of the foreign document, which a model can find only in the English keyphrases.
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
            raise ValueError(f"borrowed_words + stray_words must be at most {others}, the words of the other topics")
        if self.words > self.topic_words + self.borrowed_words:
            raise ValueError("words must be at most topic_words + borrowed_words")
        low, high = self.absent_phrases
        if low > high:
            raise ValueError("absent_phrases: the minimum must be at most the maximum")
        if not self.common_phrases + self.own_phrases + low:
            raise ValueError(
                "common_phrases + own_phrases + the minimum of absent_phrases must be at least 1: "
                "each item needs a keyphrase"
            )
        if self.common_phrases + self.own_phrases + high > self.topic_phrases:
            raise ValueError(
                "common_phrases + own_phrases + the maximum of absent_phrases must be at most topic_phrases"
            )
        return self


@dataclass(frozen=True, slots=True)
class PlantedFiles:
    """The JSON lines files of a planted corpus. Records have the fields `id`, `lang`, `text` and `keyphrases`.

    Attributes:
        english: all English documents.
        parallel: foreign documents with a field `english_ids`, which names their English passage.
        passages: foreign documents without this field.
        dev: validation documents with this field.
        test: test documents with this field.
        hidden: the documents of `passages` with their `english_ids`, for reports and never for training.
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
    others: list[str]  # words of other topics that are not in `words`
    phrases: list[NounPhrase]  # no word is in two phrases, so no word of an absent phrase occurs in the text


@dataclass(frozen=True, slots=True)
class _Item:
    sentences: list[Sentence]  # with all keyphrases and all words
    common: list[NounPhrase]  # keyphrases that occur in both passages
    foreign: list[NounPhrase]  # keyphrases that occur only in the foreign passage
    absent: list[NounPhrase]  # keyphrases that occur only in the English passage


def write_planted(config: PlantedConfig, folder: Path) -> PlantedFiles:
    """Write a planted corpus. The same configuration gives the same bytes on every machine.

    Each item is in one part only, so the documents of two parts never share an English passage.

    Args:
        config: size and difficulty of the corpus.
        folder: output folder; created if needed.
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
    parts["english"].sort(key=lambda record: str(record["id"]))  # the order reveals no part and no pair
    folder.mkdir(parents=True, exist_ok=True)
    for part, records in parts.items():
        path, text = folder / f"{part}.jsonl", "".join(json.dumps(record) + "\n" for record in records)
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # jobs know it by its modification time too
            write_text(text, path)
    return PlantedFiles(**{part: folder / f"{part}.jsonl" for part in parts})


def _make_ids(lang: str, count: int, random: Random) -> list[str]:
    return [f"{lang}-{number:06}" for number in shuffled(range(count), random)]


def _make_topics(config: PlantedConfig, random: Random) -> list[_Topic]:
    owned = [shuffled(words, random)[: config.topic_words] for words in shuffled(TOPICS, random)[: config.topics]]
    topics = []
    for own_words in owned:
        others = shuffled([word for words in owned if words is not own_words for word in words], random)
        phrases: list[NounPhrase] = [
            (modifier, head) if random.random() < _MODIFIED else (head,)
            for modifier, head in zip(shuffled(MODIFIERS, random), shuffled(HEADS, random), strict=True)
        ]
        borrowed = others[: config.borrowed_words]
        topics.append(_Topic(own_words + borrowed, others[config.borrowed_words :], phrases[: config.topic_phrases]))
    return topics


def _make_item(config: PlantedConfig, topics: Sequence[_Topic], random: Random) -> _Item:
    topic = topics[below(random, len(topics))]
    words = shuffled(topic.words, random)[: config.words] + shuffled(topic.others, random)[: config.stray_words]
    low, high = config.absent_phrases
    counts = (config.common_phrases, config.own_phrases, low + below(random, high - low + 1))
    drawn = iter(shuffled(topic.phrases, random))
    common, foreign, absent = (list(islice(drawn, count)) for count in counts)
    subjects = common + foreign + absent
    # The subject of each sentence is a keyphrase. The words are distributed evenly over the objects and the phrases
    # after prepositions.
    slots: list[list[str]] = [[] for _ in range(2 * len(subjects))]
    for index, word in enumerate(shuffled(words, random)):
        slots[index % len(slots)].append(word)
    phrases = [tuple(slot) for slot in slots]
    sentences = [Sentence(*each) for each in zip(subjects, phrases[::2], phrases[1::2], strict=True)]
    return _Item(sentences, common, foreign, absent)


def _english_record(id: str, item: _Item, config: PlantedConfig, random: Random) -> dict[str, Any]:
    text = write_english(_make_passage(item, item.foreign, config.kept, random))
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
    """The item's sentences in random order, without some words, and with a pronoun for each subject in `unsaid`."""

    def keep(phrase: NounPhrase) -> NounPhrase:
        return tuple([word for word in phrase if random.random() < kept])

    return [
        Sentence(() if subject in unsaid else subject, keep(object), keep(governed))
        for subject, object, governed in shuffled(item.sentences, random)
    ]
