"""The planted corpus: the same bytes on every machine, with the documented properties."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kpray.corpus.planted import PlantedConfig, PlantedFiles, write_planted
from kpray.corpus.planted_language import (
    HEADS,
    MODIFIERS,
    PREPOSITIONS,
    TOPICS,
    VERBS,
    Sentence,
    make_dictionary,
    shuffled,
    write_english,
    write_invented,
)
from kpray.corpus.records import Reject, read_records
from kpray.document import Record
from kpray.errors import UserError
from kpray.settings import validate_settings
from kpray.text.stems import contains_phrase, stemmed_words

SMALL = PlantedConfig(parallel=40, passages=60, dev=20, test=30, distractors=25)
SIZES = {"english": 175, "parallel": 40, "passages": 60, "dev": 20, "test": 30}
GOLDEN = "6c9767b019a813dc258cc1d235060e63c8e2c3086e6b32d2277e29ef704c4b22"
FUNCTION_WORDS = {"the", "it", *VERBS, *PREPOSITIONS}


def read(path: Path) -> list[Record]:
    records = list(read_records([str(path)]))
    assert not any(isinstance(record, Reject) for record in records)
    return [record for record in records if isinstance(record, Record)]


def read_hidden(files: PlantedFiles) -> dict[str, tuple[str, ...]]:
    return {record.document.id: record.english_ids for record in read(files.hidden)}


def read_pairs(files: PlantedFiles) -> list[tuple[Record, Record]]:
    """All pairs of a foreign document and its English passage, the hidden pairs included."""
    english = {record.document.id: record for record in read(files.english)}
    hidden = read_hidden(files)
    foreign = [record for part in ("parallel", "passages", "dev", "test") for record in read(getattr(files, part))]
    return [(record, english[(record.english_ids or hidden[record.document.id])[0]]) for record in foreign]


def digest(files: PlantedFiles) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in asdict(files).values())).hexdigest()


def parse(text: str, english: dict[str, str]) -> list[tuple[tuple[str, ...], ...]]:
    """Parse the invented language: subject, governed phrase, postposition, object and verb, in English words."""
    sentences = []
    for sentence in text.lower().removesuffix(".").split(". "):
        subject, rest = sentence.split(" ke ")
        words = rest.split()
        governed = [word for word in words if word.endswith("ur") and word[:-2] in english]
        objects = [word for word in words if word.endswith("en") and word[:-2] in english]
        verbs = [word for word in words if word.endswith("et") and word[:-2] in english]
        post = [word for word in words if word in english]
        assert words == [*governed, *post, *objects, *verbs]
        assert len(post) == bool(governed)
        assert len(verbs) == 1
        plain = [subject.split(), [word[:-2] for word in governed], post, [word[:-2] for word in objects]]
        sentences.append(tuple(tuple(english[root] for root in reversed(part)) for part in [*plain, [verbs[0][:-2]]]))
    return sentences


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PlantedFiles:
    return write_planted(SMALL, tmp_path_factory.mktemp("planted") / "new")


@pytest.fixture(scope="module")
def english() -> dict[str, str]:
    """The inverse of the dictionary of `SMALL`: invented root -> English word."""
    return {root: word for word, root in make_dictionary(Random(SMALL.seed)).items()}


def test_the_bytes_are_the_same_on_every_machine(files: PlantedFiles, tmp_path: Path) -> None:
    """The digest must not change with the version of Python or of a library, or with the machine."""
    assert digest(files) == GOLDEN
    assert digest(write_planted(SMALL, tmp_path)) == GOLDEN
    assert digest(write_planted(SMALL, tmp_path)) == GOLDEN  # overwrites the old files


def test_another_seed_is_another_corpus_and_another_language(tmp_path: Path) -> None:
    other = write_planted(SMALL.model_copy(update={"seed": 1}), tmp_path)
    assert digest(other) != GOLDEN
    ours, theirs = make_dictionary(Random(0)), make_dictionary(Random(1))
    assert sum(ours[word] == theirs[word] for word in ours) < 5


def test_counts_languages_and_titles(files: PlantedFiles) -> None:
    for part, size in SIZES.items():
        records = read(getattr(files, part))
        assert len(records) == size
        assert {record.document.lang for record in records} == {"en" if part == "english" else "xx"}
        assert all(record.document.body and not record.document.title and record.keyphrases for record in records)
    assert len(read_hidden(files)) == SIZES["passages"]


def test_no_id_leaks(files: PlantedFiles) -> None:
    english = [record.document.id for record in read(files.english)]
    parts = {part: read(getattr(files, part)) for part in ("parallel", "passages", "dev", "test")}
    foreign = [record.document.id for records in parts.values() for record in records]
    assert len({*english, *foreign}) == len(english) + len(foreign)
    assert all(not record.english_ids for record in parts["passages"])
    hidden = read_hidden(files)
    assert list(hidden) == [record.document.id for record in parts["passages"]]
    named = [id for part in ("parallel", "dev", "test") for record in parts[part] for id in record.english_ids]
    named += [id for ids in hidden.values() for id in ids]
    assert len(named) == len(foreign)  # one each
    assert len({*named}) == len(named)  # and all different, over all parts
    assert {*named} < {*english}  # the rest are distractors
    assert english == sorted(english)
    numbers = [int(id.removeprefix("en-")) for id in named]
    assert numbers != sorted(numbers)
    assert numbers[:20] != [int(id.removeprefix("xx-")) for id in foreign[:20]]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_dictionary_is_a_bijection_of_words_and_forms(seed: int) -> None:
    dictionary = make_dictionary(Random(seed))
    assert set(dictionary) == {
        *(word for topic in TOPICS for word in topic), *MODIFIERS, *HEADS, *VERBS, *PREPOSITIONS, "it",
    }  # fmt: skip
    forms = [root + ending for root in dictionary.values() for ending in ("", "en", "ur", "et")]
    assert len({*forms}) == len(forms)
    assert not {*forms} & {*dictionary, "the", "ke"}


def test_a_passage_in_both_languages() -> None:
    dictionary = {word: word[::-1] for word in make_dictionary(Random(0))}
    sentences = [
        Sentence(("robust", "model"), ("star", "moon"), ("comet",)),
        Sentence((), (), ("orbit", "planet")),
        Sentence(("design",), ("lion",), ()),
        Sentence(("survey",), (), ()),
    ]
    assert write_english(sentences) == (
        "The robust model presents star moon for comet. It describes with orbit planet. "
        "The design compares lion. The survey improves."
    )
    assert write_invented(sentences, dictionary) == (
        "Ledom tsubor ke temocur rof noomen ratsen stneserpet. Ti ke tenalpur tibrour htiw sebircsedet. "
        "Ngised ke noilen serapmocet. Yevrus ke sevorpmiet."
    )


def test_word_order_and_inflection_hold_throughout(files: PlantedFiles, english: dict[str, str]) -> None:
    for foreign, _ in read_pairs(files):
        for index, (subject, governed, post, objects, verb) in enumerate(parse(foreign.document.text, english)):
            assert subject == ("it",) or subject[-1] in HEADS
            assert subject[:-1] == () or (len(subject) == 2 and subject[0] in MODIFIERS)
            assert verb == (VERBS[index % len(VERBS)],)
            assert post == ((PREPOSITIONS[index % len(PREPOSITIONS)],) if governed else ())
            assert not {*governed, *objects} & {*MODIFIERS, *HEADS}


def test_both_passages_of_an_item_have_the_same_content(english: dict[str, str], tmp_path: Path) -> None:
    """If all words are kept, both passages have the same words, except for keyphrases of one passage."""
    for foreign, original in read_pairs(write_planted(SMALL.model_copy(update={"kept": 1.0}), tmp_path)):
        parsed = parse(foreign.document.text, english)
        phrases = {part for subject, governed, _, objects, _ in parsed for part in (subject, governed, objects)}
        here = {word for phrase in phrases for word in phrase} - FUNCTION_WORDS
        there = {*stemmed_words(original.document.text, "xx")} - FUNCTION_WORDS  # words as they are written
        assert here ^ there <= {*MODIFIERS, *HEADS}
        assert len(here - {*MODIFIERS, *HEADS}) == SMALL.words + SMALL.stray_words
        text = original.document.text.lower()
        assert all(f" {' '.join(phrase)}" in text for phrase in phrases if there & {*phrase})


def test_each_passage_leaves_out_other_words(files: PlantedFiles, english: dict[str, str]) -> None:
    content = {word for topic in TOPICS for word in topic}
    here = there = both = 0
    for foreign, original in read_pairs(files):
        said = {word for sentence in parse(foreign.document.text, english) for part in sentence for word in part}
        ours, theirs = said & content, set(stemmed_words(original.document.text, "xx")) & content
        here, there, both = here + len(ours), there + len(theirs), both + len(ours & theirs)
    assert both / here == pytest.approx(SMALL.kept, abs=0.04)
    assert both / there == pytest.approx(SMALL.kept, abs=0.04)


def test_foreign_keyphrases_are_the_english_ones_and_those_of_the_foreign_passage(
    files: PlantedFiles, english: dict[str, str]
) -> None:
    low, high = SMALL.absent_phrases
    for foreign, original in read_pairs(files):
        words = stemmed_words(foreign.document.text, "xx")
        present = [contains_phrase(words, phrase.split()) for phrase in foreign.keyphrases]
        stands = [" ".join(words).index(phrase) for phrase in foreign.keyphrases[: sum(present)]]
        assert present == sorted(present, reverse=True)  # present keyphrases first, in text order
        assert stands == sorted(stands)
        assert sum(present) == SMALL.common_phrases + SMALL.own_phrases
        assert low <= present.count(False) <= high
        for phrase in foreign.keyphrases[sum(present) :]:
            assert not {*phrase.split()} & {*words}  # no word of an absent phrase
        back = [" ".join(english[word] for word in reversed(phrase.split())) for phrase in foreign.keyphrases]
        foreign_only = {*back[: sum(present)]} - {*original.keyphrases}
        assert len(foreign_only) == SMALL.own_phrases
        assert {*back} - foreign_only == {*original.keyphrases}
        there = stemmed_words(original.document.text, "xx")
        assert all(contains_phrase(there, phrase.split()) for phrase in original.keyphrases)
        assert not any(contains_phrase(there, phrase.split()) for phrase in foreign_only)


def test_half_of_the_keyphrases_are_absent(files: PlantedFiles) -> None:
    absent = total = 0
    for foreign, _ in read_pairs(files):
        words = stemmed_words(foreign.document.text, "xx")
        absent += sum(not contains_phrase(words, phrase.split()) for phrase in foreign.keyphrases)
        total += len(foreign.keyphrases)
    assert absent / total == pytest.approx(2 / (2 + 2), abs=0.03)  # 1 to 3 absent, one common and one foreign


def test_the_smallest_corpus(tmp_path: Path) -> None:
    """A part without documents is an empty file; sentences are valid even if almost no words are kept."""
    config = PlantedConfig(
        topics=2,
        borrowed_words=0,
        words=1,
        stray_words=0,
        kept=0.01,
        parallel=1,
        passages=0,
        dev=0,
        test=0,
        distractors=0,
    )
    files = write_planted(config, tmp_path)
    assert [path.stat().st_size for path in (files.passages, files.dev, files.test, files.hidden)] == [0] * 4
    [(foreign, original)] = read_pairs(files)
    assert foreign.document.text
    assert original.document.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"topics": 21}, "topics is 21"),
        (
            {"topics": 2, "topic_words": 5, "words": 3, "borrowed_words": 4},
            "must be at most 5, the words of the other topics",
        ),
        ({"words": 49}, "words must be at most topic_words \\+ borrowed_words"),
        ({"absent_phrases": (3, 1)}, "the minimum must be at most the maximum"),
        ({"absent_phrases": (0, 1), "own_phrases": 0, "common_phrases": 0}, "each item needs a keyphrase"),
        ({"topic_phrases": 4}, "must be at most topic_phrases"),
        ({"kept": 0}, "kept is 0"),
    ],
)
def test_impossible_configurations_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^here.*{message}"):
        validate_settings(PlantedConfig, fields, where="here")


def test_all_orders_are_equally_likely() -> None:
    random = Random(3)
    counts: dict[Sequence[str], int] = {}
    for _ in range(6000):
        order = tuple(shuffled("abc", random))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 3 * 2 * 1
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.values())
