"""Names of heads, and invalid configurations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.errors import UserError
from kpray.samrank.config import SAMRankConfig, check_heads, head_name, parse_head
from kpray.settings import validate_settings


@given(layer=st.integers(0, 200), head=st.integers(0, 200))
def test_head_names_count_from_1(layer: int, head: int) -> None:
    assert head_name(layer, head) == f"{layer + 1}-{head + 1}"
    assert parse_head(head_name(layer, head)) == (layer, head)


@pytest.mark.parametrize("name", ["", "4", "4-", "0-1", "1-0", "4-12-1", "4 - 12", "-1-2", "04-1", "four-2", "4.12"])
def test_invalid_head_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="like 4-12"):
        parse_head(name)
    with pytest.raises(UserError, match=r"here: .*heads.*like 4-12"):
        validate_settings(SAMRankConfig, {"heads": [name]}, where="here")


def test_layer_heads_count_from_0() -> None:
    assert SAMRankConfig(heads=("4-12", "1-1")).layer_heads == ((3, 11), (0, 0))


@pytest.mark.parametrize(("head", "name"), [((6, 0), "7-1"), ((0, 12), "1-13")])
def test_heads_missing_from_the_model_are_refused(head: tuple[int, int], name: str) -> None:
    check_heads(((5, 11), (0, 0)), 6, 12)
    with pytest.raises(UserError, match=f"has no head {name} .*6 layers of 12 heads: choose from 1-1 to 6-12"):
        check_heads(((0, 0), head), 6, 12)


@pytest.mark.parametrize(
    "fields",
    [
        {"heads": []},
        {"score": "all"},
        {"position_scale": 0},
        {"segment_tokens": 7},
        {"batch_tokens": 0},
        {"tagger": "spacy"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_errors_name_the_invalid_field(fields: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(fields))):
        validate_settings(SAMRankConfig, fields, where="here")
