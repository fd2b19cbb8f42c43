"""Copies between the CPU and a GPU for which neither waits: a GPU goes on with one batch while the next is prepared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on a device; the copy to a GPU takes its turn behind the work that the GPU already has."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # from other memory, the copy would wait for that work


def start_copy(tensor: torch.Tensor) -> Callable[[], np.ndarray]:
    """Start to copy a result to the CPU.

    Returns:
        Waits for the copy, and gives it. Calling it after later work was started keeps the GPU busy meanwhile.
    """
    import torch

    if tensor.device.type != "cuda":
        return tensor.cpu().numpy
    copy = tensor.to("cpu", non_blocking=True)
    copied = torch.cuda.current_stream(tensor.device).record_event()

    def wait() -> np.ndarray:
        copied.synchronize()
        return copy.numpy()

    return wait
