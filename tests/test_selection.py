"""The options that select keyphrases: their values, maximal marginal relevance, nesting, and files of phrases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.document import Keyphrase
from kpray.errors import UserError
from kpray.selection import (
    Selection,
    SelectionKeywords,
    SelectionOptions,
    maximal_marginal_relevance,
    options_from,
    select_generated,
    unit_vectors,
    without_nested,
)

TEXT = "Deep neural networks and a neural network for graph matching. Graphs are matched by neural networks."
FOUND = [
    Keyphrase("deep neural networks", 0.9, True),
    Keyphrase("neural network", 0.8, True),
    Keyphrase("graph matching", 0.5, True),
    Keyphrase("combinatorial optimization", 0.4, False),
    Keyphrase("graphs", 0.2, True),
]


def test_keyword_arguments_are_the_options() -> None:
    assert set(SelectionKeywords.__annotations__) == set(SelectionOptions.model_fields)


def selected(top: int = 10, **options: Any) -> list[str]:
    found = select_generated(FOUND, TEXT, "en", Selection(options_from(options)), top)
    return [phrase.text for phrase in found]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top": 2}, [0, 1]),
        ({"min_score": 0.4}, [0, 1, 2, 3]),
        ({"min_frequency": 1}, [0, 1, 2, 4]),
        ({"min_frequency": 2}, [1, 4]),
        ({"max_words": 1}, [4]),
        ({"max_words": 2}, [1, 2, 3, 4]),
        ({"stop_words": ["Neural"]}, [2, 3, 4]),
        ({"stop_words": ["graph"]}, [0, 1, 3, 4]),  # "graphs" is another word
        ({"vocabulary": ["Neural networks", "graph", "tree"]}, [1, 4]),
        ({"vocabulary": ["tree"]}, []),
        ({"nested": "drop"}, [0, 2, 3]),
        ({"diversity": 0.5}, [0, 2, 3, 1, 4]),
        ({"diversity": 0.5, "top": 2}, [0, 2]),
        ({"seeds": ["combinatorics", "graph"]}, [2, 4, 0, 1, 3]),
        ({"diversity": 0.5, "min_score": 0.5}, [0, 2, 1]),
    ],
    ids=str,
)
def test_options_select_among_generated_phrases(options: dict[str, Any], expected: list[int]) -> None:
    assert selected(**options) == [FOUND[index].text for index in expected]


def test_selected_phrases_have_offsets_and_scores_between_0_and_1() -> None:
    selection = Selection(options_from({"seeds": ["graph"]}))
    found = select_generated(FOUND, TEXT, "en", selection, 10)
    assert all(0 <= phrase.score <= 1 for phrase in found)
    offsets = {phrase.text: [TEXT[start:end] for start, end in phrase.offsets] for phrase in found}
    assert offsets["neural network"] == ["neural networks", "neural network", "neural networks"]
    assert offsets["combinatorial optimization"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversty": 0.5}, "unknown field diversty (did you mean diversity?)"),
        ({"diversity": 1.5}, "diversity is 1.5 (it should be less than or equal to 1)"),
        ({"diversity": "much"}, "diversity is 'much' (it should be a number)"),
        ({"min_score": -1}, "min_score is -1 (it should be greater than or equal to 0)"),
        ({"max_words": 0}, "max_words is 0 (it should be greater than or equal to 1)"),
        ({"nested": "merge"}, "nested is 'merge' (it should be 'keep' or 'drop')"),
        ({"vocabulary": ["graph", " "]}, "item 2 of vocabulary is ' ' (it should not be blank)"),
        ({"stop_words": ["of the"]}, "item 1 of stop_words is 'of the' (it should be a single word)"),
        ({"seeds": "graph"}, "seeds is 'graph' (it should be a valid tuple)"),
    ],
    ids=str,
)
def test_wrong_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        options_from(options)
    assert str(raised.value) == message


def test_lists_are_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_text("\ufeffneural network\n\n  graph \n", encoding="utf-8")
    options = SelectionOptions.of(SelectionOptions(vocabulary=(str(file), "tree"), stop_words=("of",)))
    assert options.vocabulary == ("neural network", "graph", "tree")
    assert options.stop_words == ("of",)
    assert options_from({"vocabulary": [str(file)]}).vocabulary == (str(file),)  # Python and HTTP read no files


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^seeds: cannot read '.*no\.txt': No such file"):
        SelectionOptions.of(SelectionOptions(seeds=(str(tmp_path / "no.txt"),)))
    (tmp_path / "latin.txt").write_bytes(b"r\xe9seau\n")
    with pytest.raises(UserError, match=r"latin\.txt': it is not UTF-8"):
        SelectionOptions.of(SelectionOptions(seeds=(str(tmp_path / "latin.txt"),)))


def test_long_lists_are_described_by_their_checksum() -> None:
    words = [f"word{n}" for n in range(21)]
    one = Selection(options_from({"stop_words": words, "diversity": 0.5})).describe()["selection"]
    other = Selection(options_from({"stop_words": words[::-1], "diversity": 0.5})).describe()["selection"]
    assert one["diversity"] == 0.5
    assert one["stop_words"].startswith("21 entries, SHA-256 ")
    assert one != other
    assert Selection(options_from({"seeds": ["graph"]})).describe() == {"selection": {"seeds": ["graph"]}}
    assert Selection(SelectionOptions()).describe() == {}


vectors = st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=8)


@given(rows=vectors, diversity=st.sampled_from([0.0, 0.3, 0.7, 1.0]), top=st.integers(0, 9))
def test_maximal_marginal_relevance_follows_its_definition(rows: list[list[int]], diversity: float, top: int) -> None:
    units = unit_vectors(np.array(rows, dtype=np.float64))
    scores = np.linspace(1, 0.1, len(rows))
    found = maximal_marginal_relevance(scores, units, diversity, len(rows))
    assert sorted(found) == list(range(len(rows)))
    assert found[0] == 0
    for rank in range(1, len(rows)):
        gains = [
            (1 - diversity) * scores[index]
            - diversity * max(float(units[index] @ units[other]) for other in found[:rank])
            for index in found[rank:]
        ]
        assert gains[0] >= max(gains) - 1e-4  # similarities are rounded to four digits
    assert maximal_marginal_relevance(scores, units, diversity, top) == found[:top]
    assert diversity > 0 or found == list(range(len(rows)))


def test_nested_phrases_are_left_out_on_both_sides() -> None:
    stems = [["neural", "network"], ["deep", "neural", "network"], ["network"], ["net"], ["neural", "net"]]
    assert without_nested([0, 1, 2, 3, 4], stems) == [0, 3]
    assert without_nested([4, 1, 0, 3, 2], stems) == [4, 1]
