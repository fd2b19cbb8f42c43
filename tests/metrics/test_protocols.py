"""Protocols and the normalization of phrases."""

from __future__ import annotations

import dataclasses

import pytest

from kpray.errors import UserError
from kpray.metrics.normalization import normalize, unique_phrases
from kpray.metrics.protocols import PROTOCOLS, get_protocol


def test_error_for_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(UserError, match=r"'mengg'.*samrank, meng, ramkg"):
        get_protocol("mengg")


@pytest.mark.parametrize("name", ["samrank", "meng", "ramkg"])
def test_protocols_are_found_by_name_and_immutable(name: str) -> None:
    protocol = get_protocol(name)
    assert protocol is PROTOCOLS[name]
    assert protocol.name == name
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("phrase", "stemmed", "stripped"),
    [
        ("Neural  Networks", "neural network", "neural networks"),
        ("Carlo-like design", "carlo-lik design", "carlolike design"),
        ("U.S. economy (1990's)", "u.s. economi (1990's)", "us economy 1990s"),
        ("¡Señal!", "¡señal!", "¡señal"),  # only ASCII punctuation is deleted
        ("C++", "c++", "c"),
        (" - ", "-", ""),
    ],
)
def test_normalize(phrase: str, stemmed: str, stripped: str) -> None:
    assert normalize(phrase, "en", "lower_stem") == stemmed
    assert normalize(phrase, "en", "lower_strip_punctuation") == stripped


def test_the_language_of_the_document_determines_the_stemmer() -> None:
    assert normalize("Réseaux", "fr", "lower_stem") == "réseau"
    assert normalize("Réseaux", "zh", "lower_stem") == "réseaux"


def test_duplicates_and_empty_phrases_are_dropped() -> None:
    phrases = ["networks", "", "Network", "graphs", "  ", "network"]
    assert list(unique_phrases(phrases, "en", "lower_stem").items()) == [("network", "networks"), ("graph", "graphs")]
    assert unique_phrases(["!", "?!"], "en", "lower_strip_punctuation") == {}
