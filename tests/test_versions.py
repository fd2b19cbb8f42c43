"""The versions that are written next to every output."""

from __future__ import annotations

import sys
from importlib.metadata import version

from kpray.versions import versions


def test_versions_are_the_installed_ones() -> None:
    assert versions()["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert versions()["torch"] == version("torch")
