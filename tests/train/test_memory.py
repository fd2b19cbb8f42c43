"""Free memory goes back to the operating system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from kpray.train.memory import release_free_memory


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has malloc_trim")
def test_gaps_between_tensors_are_released() -> None:
    del_me = torch.ones(2**21)  # once a large block was freed, glibc takes smaller ones from its heap
    del del_me
    gaps, kept = [], []
    for _ in range(200):
        gaps.append(torch.ones(2**18))  # 1 MB
        kept.append(torch.ones(2**15))  # 128 KB, between two of them
    gaps.clear()
    before = resident()
    release_free_memory()
    assert before - resident() > 100 * 2**20
    assert all(bool((one == 1).all()) for one in kept)
