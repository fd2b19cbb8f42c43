"""Memory of the training processes on a CPU."""

from __future__ import annotations

import ctypes
import sys

RELEASE_EVERY = 8
"""Steps between releases. More often takes measurable time, since freed pages must be cleared again."""


def release_free_memory() -> None:
    """Give free memory back to the operating system; no effect outside Linux.

    Each batch has another shape, so its tensors rarely fit into the gaps that those of the last batch left. The C
    library keeps such gaps: 1.2 GB after ten steps of all-MiniLM-L6-v2.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; others have none
        if trim:
            trim(0)
