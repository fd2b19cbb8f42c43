"""Imports without what they do not need, for commands that should answer at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

own_process = False
"""Whether this process runs only a command of kpray, so that no other code misses what is left out (`kpray.cli`)."""


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Make the import of optional modules fail in the block, if kpray has the process for itself.

    NLTK imports SciPy and scikit-learn where they are installed. It takes a second, for functions that kpray does not
    use. Modules that are already imported stay importable.
    """
    hidden = [name for name in modules if own_process and name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes the import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage in the block, and never what it makes, if kpray has the process for itself.

    Libraries and models are a million objects that stay. While they are made, Python would search them for garbage
    hundreds of times, which is a sixth of the time that PyTorch's import takes.
    """
    if not own_process or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
