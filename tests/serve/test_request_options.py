"""Options of a request that select keyphrases."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kpray.document import Document
from kpray.registry import open_predictor
from kpray.samrank.predictor import SAMRank
from kpray.selection import SelectionOptions
from tests.samrank.tiny_models import SENTENCES
from tests.serve.service import StartService


def test_options_are_those_of_the_predictor(start_service: StartService, tiny_samrank: dict[str, Any]) -> None:
    options: dict[str, Any] = {
        "diversity": 0.5,
        "nested": "drop",
        "min_score": 0.05,
        "min_frequency": 1,
        "max_words": 2,
        "vocabulary": ["network", "sparse graph", "graph", "attention map", "algorithm"],
        "seeds": ["graph"],
        "stop_words": ["attention"],
    }
    assert set(options) == set(SelectionOptions.model_fields)
    service, documents = start_service(), [Document(id="", body=text) for text in SENTENCES]
    predictor = open_predictor("samrank", tiny_samrank)
    for chosen in ({}, *({name: value} for name, value in options.items()), options):
        results = service.keyphrases(*SENTENCES, **chosen).json()["results"]
        for result, expected in zip(results, predictor.predict(documents, **chosen), strict=True):
            assert result["keyphrases"] == [json.loads(json.dumps(asdict(phrase))) for phrase in expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversity": 2}, "diversity: Input should be less than or equal to 1"),
        ({"max_words": "2"}, "max_words: Input should be a valid integer"),
        ({"seeds": ["graph"] * 21}, "seeds: List should have at most 20 items"),
        ({"vocabulary": ["x" * 101]}, "vocabulary.0: String should have at most 100 characters"),
        ({"vocabulary": ["graph"] * 1001}, "vocabulary: List should have at most 1000 items"),
        ({"vocabulary": [" "]}, "vocabulary.0: String should match pattern"),
        ({"vocabulary": "terms.txt"}, "vocabulary: Input should be a valid list"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str, start_service: StartService) -> None:
    answer = start_service().keyphrases("Sparse graphs.", **options)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith(message)


def test_requests_read_no_files(start_service: StartService, tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_text("sparse graphs\n")
    [result] = start_service().keyphrases("Sparse graphs.", vocabulary=[str(file)]).json()["results"]
    assert result["keyphrases"] == []


def test_a_model_without_options_refuses_them_for_each_document(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start_service()
    monkeypatch.setattr(SAMRank, "takes_options", False)
    results = service.keyphrases("Sparse graphs.", "Graphs.", diversity=0.5).json()["results"]
    assert [result["error"]["code"] for result in results] == ["unsupported"] * 2
    assert service.keyphrases("Sparse graphs.").json()["results"][0]["keyphrases"]
