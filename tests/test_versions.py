"""Versions are told without importing what they are of."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from kpray.versions import versions


def test_versions_import_nothing() -> None:
    program = "import sys; from kpray.versions import versions; print(len(versions()), 'torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert finished.stdout.split() == [str(len(versions())), "False"]
    assert versions()["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert versions()["torch"] == version("torch")
