"""Kinds of ordinary English text: which phrases a reader expects, by NLTK's tagger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.candidates import find_candidates
from kpray.text.concepts import concept_keys
from kpray.text.tagging import load_tagger

pytestmark = pytest.mark.usefixtures("nltk_tagger")


def phrases_of(text: str) -> list[str]:
    words, spans = find_candidates(text, "en", "extended", load_tagger("nltk"))
    return [text[words.spans[start][0] : words.spans[end - 1][1]] for start, end in spans.tolist()]


GENERAL_WORDS = [
    ("New Orleans rebuilt its levees.", ["New Orleans", "levees"]),
    ("Bytes have little endian order.", ["Bytes", "little endian order"]),
    ("Real estate agents sell houses.", ["Real estate agents", "houses"]),
    ("The end user signs the contract.", ["end user", "contract"]),
    ("A finite state machine starts idle.", ["finite state machine"]),
    ("Other methods", ["Other methods"]),
    ("WHO", ["WHO"]),
]
CAPITALS = [
    ("EARTHQUAKE HITS SOUTHERN TURKEY", ["EARTHQUAKE", "SOUTHERN TURKEY"]),
    ("TENANT SHALL PAY THE SECURITY DEPOSIT.", ["TENANT", "SECURITY DEPOSIT"]),
    ("Senate Rejects Climate Bill as Wildfires Rage", ["Senate", "Climate Bill", "Wildfires"]),
    ("Court Blocks Merger of Two Airlines", ["Court", "Merger", "Airlines"]),
    ("Samsung 55 Inch 4K Ultra HD Smart TV", ["Samsung 55 Inch", "HD Smart TV"]),
    ("The OR nurse met the WHO chief.", ["OR nurse", "WHO chief"]),
    ("US troops left.", ["US troops"]),
    ("You MUST read the manual.", ["manual"]),
]
LETTERS_AND_NUMBERS = [
    ("Vitamin B12 deficiency causes anaemia.", ["Vitamin B12 deficiency", "anaemia"]),
    ("He flew a Boeing 737. Boeing 787 deliveries stopped.", ["Boeing 737", "Boeing 787 deliveries"]),
    ("Windows 11 needs more memory.", ["Windows 11", "memory"]),
    ("The Tesla Model S outsold it.", ["Tesla Model S"]),
    ("Class A amplifiers get hot.", ["Class A amplifiers"]),
    ("See Fig. 3 for the heat flux.", ["heat flux"]),
    ("Ubuntu 24.04 ships with GNOME 46.", ["Ubuntu 24.04", "GNOME 46"]),
]
PUNCTUATION = [
    ("Bayes' theorem is simple.", ["Bayes' theorem"]),
    ("Kirchhoff’s circuit laws hold.", ["Kirchhoff’s circuit laws"]),
    ("Down's syndrome and Huntington's disease.", ["Down's syndrome", "Huntington's disease"]),
    ("He left Marks & Spencer.", ["Marks & Spencer"]),
    (".NET applications and Node.js servers.", [".NET applications", "Node.js servers"]),
    ("Smith et al. measured soil moisture, i.e. water.", ["Smith", "soil moisture", "water"]),
    ("Dr. Brown met Prof. Green.", ["Brown", "Green"]),
    ("| brake pad | Brembo |", ["brake pad", "Brembo"]),
]
VERBS = [
    ("Aspirin inhibits COX-1.", ["Aspirin", "COX-1"]),
    ("Kubernetes schedules containers.", ["Kubernetes", "containers"]),
    ("Exercise burns fat.", ["Exercise", "fat"]),
    ("Volcanoes erupt. Earthquakes damage bridges.", ["Volcanoes", "Earthquakes", "bridges"]),
    ("Real estate agents blamed interest rates.", ["Real estate agents", "interest rates"]),
    ("Insert two batteries.", ["batteries"]),
    ("Why does the power relax?", ["power"]),
    ("Banks sell when prices fall.", ["Banks", "prices"]),
    # Nouns that look like verbs.
    ("Object models and class diagrams.", ["Object models", "class diagrams"]),
    ("The access controls and the firewall are new.", ["access controls", "firewall"]),
    ("A rose collection grew.", ["rose collection"]),
    ("Fast cars need fuel pumps.", ["Fast cars", "fuel pumps"]),
]
EXPANSIONS = [
    ("The Department of Energy (DOE) pays.", ["Department of Energy", "DOE"]),
    ("Quality of service (QoS) varies.", ["Quality of service", "QoS"]),
    ("IoT (internet of things) sensors.", ["IoT", "internet of things", "sensors"]),
]


@pytest.mark.parametrize(
    ("text", "phrases"), [*GENERAL_WORDS, *CAPITALS, *LETTERS_AND_NUMBERS, *PUNCTUATION, *VERBS, *EXPANSIONS]
)
def test_phrases_of_a_kind(text: str, phrases: list[str]) -> None:
    assert phrases_of(text) == phrases


@pytest.mark.parametrize(
    ("text", "acronym", "expansion"),
    [
        ("quality of service ( QoS )", "QoS", "quality of service"),
        ("IoT ( internet of things )", "IoT", "internet of things"),
        ("peer-to-peer ( P2P )", "P2P", "peer-to-peer"),
        ("Extensible Markup Language ( XML )", "XML", "Extensible Markup Language"),
        ("the linear Principal Component Analysis ( PCA )", "PCAs", "principal component analyses"),
    ],
)
def test_an_acronym_is_its_expansion(text: str, acronym: str, expansion: str) -> None:
    assert len(set(concept_keys([acronym, expansion], text.split()))) == 1


@given(
    st.lists(
        st.sampled_from(
            "the The a A manual and | & ( DOE ) 's ’ . , use runs PRESENT does 5 C C++ Fig U.S et al".split()
        )
    )
)
def test_no_sequence_of_words_fails(drawn: list[str]) -> None:
    phrases_of(" ".join(drawn))
