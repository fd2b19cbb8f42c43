"""CITATION.cff says the version of the package, and the papers are those that the pages link to."""

from __future__ import annotations

import yaml

from kpray import __version__
from tests.commands import ROOT

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_version_is_the_package_s() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["version"] == __version__


def test_papers_are_those_of_the_methods() -> None:
    equations = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")
    assert len(CITATION["references"]) == 3
    for paper in CITATION["references"]:
        assert paper["url"] in equations
        assert paper["doi"].endswith(paper["url"].rstrip("/").rpartition("/")[2])
