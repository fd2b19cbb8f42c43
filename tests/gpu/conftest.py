"""The device of a test, and its tolerance: every test runs on the GPU, and as a rehearsal on the CPU.

`pytest tests/gpu -k cpu_rehearsal` runs the same code with the CPU instead of the GPU. A machine that has a GPU
and lacks some of what the other tests import runs `pytest tests/gpu --confcutdir tests/gpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Largest relative error, |found - reference| / |reference|, of a model in each precision against float32 on the CPU.
TOLERANCES = {torch.float32: 3e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


@pytest.fixture(params=["cpu_rehearsal", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """What is compared with the CPU: the GPU, or in a rehearsal the CPU itself."""
    if request.param == "cpu_rehearsal":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU (torch.cuda is not available)")
    return torch.device("cuda")


@pytest.fixture(params=DTYPES, ids=[str(dtype).removeprefix("torch.") for dtype in DTYPES])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """Precision of the model on the device."""
    found: torch.dtype = request.param
    return found


Close = Callable[[Iterable[Tensor], Iterable[Tensor], torch.dtype], None]


@pytest.fixture(scope="session")
def close() -> Close:
    """Check that tensors together are within the tolerance of a precision: `close(found, reference, dtype)`."""

    def check(found: Iterable[Tensor], reference: Iterable[Tensor], dtype: torch.dtype) -> None:
        ours, theirs = (
            torch.cat([tensor.detach().double().cpu().flatten() for tensor in tensors])
            for tensors in (found, reference)
        )
        assert ours.shape == theirs.shape
        assert theirs.norm() > 0
        error = float((ours - theirs).norm() / theirs.norm())
        assert error <= TOLERANCES[dtype], f"relative error {error:.2e} in {dtype}"  # NaN fails, too

    return check
