"""Phrases that name one concept have one key."""

from __future__ import annotations

import pytest

from kpray.text.concepts import concept_keys


def keys(*phrases: str, words: str = "") -> list[str]:
    return concept_keys(phrases, words.split())


@pytest.mark.parametrize(
    "variants",
    [
        ("neural network", "Neural networks"),
        ("e-mail", "email", "emails"),
        ("data set", "data-set", "datasets"),
        ("health care", "healthcare"),
        ("real time bidding", "real-time bidding"),
        ("tumour growth", "tumor growth"),
        ("colour model", "color models"),
        ("optimisation", "optimization"),
        ("data centre", "data center"),
        ("labelled graph", "labeled graph"),
        ("anaemia", "anemia"),
        ("Moore's law", "Moore’s law"),
        ("Cauchy–Schwarz bound", "Cauchy-Schwarz bound"),
    ],
)
def test_variants_have_one_key(variants: tuple[str, ...]) -> None:
    assert len(set(keys(*variants))) == 1


@pytest.mark.parametrize("phrases", [("graph", "graph theory"), ("C", "C++"), ("four", "five"), ("–", "—")])
def test_other_phrases_have_other_keys(phrases: tuple[str, ...]) -> None:
    assert len(set(keys(*phrases))) == len(phrases)


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        ("a support vector machine ( SVM ) . SVMs", ("support vector machine", "SVM", "SVMs")),
        ("a linear support vector machine ( SVM ) . SVM", ("support vector machine", "SVM")),
        ("the WSN ( wireless sensor networks )", ("WSN", "wireless sensor networks")),
        ("a cyber-physical system ( CPS )", ("cyber-physical system", "CPS")),
    ],
)
def test_an_acronym_is_its_expansion(words: str, phrases: tuple[str, ...]) -> None:
    assert len(set(keys(*phrases, words=words))) == 1


def test_brackets_of_other_content_explain_no_acronym() -> None:
    words = "a support vector machine ( IEEE ) ( open ("
    assert len(set(keys("support vector machine", "IEEE", words=words))) == 2
