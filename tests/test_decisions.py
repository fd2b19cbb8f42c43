"""Options that the pages about decisions name exist."""

from __future__ import annotations

import re

import pytest

from kpray.command_line import schema_leaves
from kpray.commands.mine import MineCommand
from kpray.commands.train import UniKeyphraseCommand
from kpray.rgit.job import RGITSettings
from kpray.samrank.config import SAMRankConfig
from kpray.settings import Settings
from tests.commands import ROOT

PAGES = ROOT / "docs" / "decisions"
SCHEMAS: dict[str, list[type[Settings]]] = {
    "samrank": [SAMRankConfig],
    "unikeyphrase": [UniKeyphraseCommand],
    "ramkg-and-rgit": [RGITSettings, MineCommand],
}


@pytest.mark.parametrize("page", SCHEMAS)
def test_options_exist(page: str) -> None:
    known = {".".join(path) for schema in SCHEMAS[page] for path in schema_leaves(schema)}
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^- \*\*Option\*\*: (.*(?:\n  .*)*)", text, re.MULTILINE)
    assert len(blocks) >= 8
    for block in blocks:
        names = re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)[`:]", block)
        assert names[0] in known, block
        unknown = [name for name in names if "." in name and name not in known]
        assert not unknown, block
