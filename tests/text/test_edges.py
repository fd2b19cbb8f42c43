"""Punctuation at the edges of phrases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.edges import phrase_span, trim_phrase
from kpray.text.stems import stemmed_words


@pytest.mark.parametrize(
    ("phrase", "trimmed"),
    [
        ("Karnik-", "Karnik"),
        ("-Mendel algorithm", "Mendel algorithm"),
        ("(NP", "NP"),
        ("NP)", "NP"),
        ("(fuzzy logic)", "fuzzy logic"),
        ("[(fuzzy logic)],", "fuzzy logic"),
        ("“deep learning”", "deep learning"),
        ("graphs,", "graphs"),
        ("the users'", "the users"),
        ("网络。", "网络"),
        ("《网络》", "网络"),
        ("graph theory.", "graph theory"),
        ("and / or", "and / or"),
        ("...", ""),
        (" - ", ""),
        ("", ""),
        # These marks belong to the words.
        ("C++", "C++"),
        ("C++,", "C++"),
        ("C#", "C#"),
        ("F#.", "F#"),
        ("A*", "A*"),
        ("Ca2+", "Ca2+"),
        ("H+", "H+"),
        ("95%", "95%"),
        ("U.S.", "U.S."),
        ("the U.S.,", "the U.S."),
        ("Ph.D.", "Ph.D."),
        ("e.g.", "e.g."),
        (".NET", ".NET"),
        (".NET.", ".NET"),
        ("f(x)", "f(x)"),
        ("f(g(x))", "f(g(x))"),
        ("(R)-carvone", "(R)-carvone"),
        ("(a) and (b)", "(a) and (b)"),
        ("support vector machine (SVM)", "support vector machine (SVM)"),
        ("support vector machine (SVM", "support vector machine (SVM"),
        ("__init__", "__init__"),
        ("$100", "$100"),
        ("°C", "°C"),
        ("हिन्दी।", "हिन्दी"),
        # These do not.
        ("networks+ ", "networks+"),
        ("a + ", "a"),
        ("networks.A network.", "networks.A network"),
        (". NET", "NET"),
        ("Smith*", "Smith"),
        ("#topic", "topic"),
    ],
)
def test_trimmed_phrases(phrase: str, trimmed: str) -> None:
    assert trim_phrase(phrase) == trimmed
    start, end = phrase_span(f"see {phrase} here", 4, 4 + len(phrase))
    assert f"see {phrase} here"[start:end].startswith(trimmed)  # it may continue with the marks after it


@pytest.mark.parametrize(
    ("text", "cut", "phrase"),
    [
        ("Karnik-Mendel algorithm", "Karnik-", "Karnik"),
        ("written in C++.", "C", "C++"),
        ("written in C++, and", "C++,", "C++"),
        ("the language C# is", "C", "C#"),
        ("C#x", "C", "C"),
        ("in the U.S. and", "U.S", "U.S."),
        ("vitamin C. It", "vitamin C", "vitamin C"),
        ("the .NET platform", "NET platform", ".NET platform"),
        ("see ASP.NET", "NET", "NET"),
        ("compute f(x) once", "f(x", "f(x)"),
        ("a machine (SVM) learns", "machine (SVM", "machine (SVM)"),
        ("a machine (SVM) learns", "SVM", "SVM"),
        ("a machine (SVM) learns", "(SVM)", "SVM"),
    ],
)
def test_marks_around_a_phrase_in_its_text(text: str, cut: str, phrase: str) -> None:
    first = text.index(cut)
    start, end = phrase_span(text, first, first + len(cut))
    assert text[start:end] == phrase


@given(st.text(alphabet="aB1 .,-+#*%()[]{}'\"_《》网", max_size=12), st.data())
def test_words_stay(text: str, data: st.DataObject) -> None:
    """Punctuation has no stems, so neither the merging nor the order of phrases changes."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert stemmed_words(trim_phrase(text[start:end])) == stemmed_words(text[start:end])
    first, last = phrase_span(text, start, end)
    assert 0 <= first <= last <= len(text)
    assert stemmed_words(text[first:last]) == stemmed_words(text[start:end])
