"""Plain PyTorch instead of DeepSpeed's engine: one process, one device, the same loop (`--local`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from kpray.train.deepspeed import Precision


class LocalEngine:
    """The part of the interface of DeepSpeed's engine that the loop uses.

    Parameters and the state of the optimizer are float32. fp16 and bf16 use autocast; fp16 also uses dynamic loss
    scaling. In fp32 the result equals that of DeepSpeed up to rounding.

    Args:
        module: the module to train, whose forward pass returns a dictionary of losses. It is moved to the device.
        groups: from `parameter_groups`. Each step sets their learning rates.
        precision: precision of the forward pass.
        clip: maximum norm of the gradient of a step; None: no clipping.

    Attributes:
        device: the first GPU if there is one, else the CPU.
        optimizer: AdamW.
        skipped_steps: steps that fp16 skipped for overflow since the training began.
    """

    def __init__(
        self, module: torch.nn.Module, groups: list[dict[str, Any]], precision: Precision, clip: float | None
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = module.to(self.device)
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)
        self.skipped_steps = 0
        self.checkpoint_engine = SimpleNamespace(save=torch.save)
        self._clip = torch.inf if clip is None else clip
        self._dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": None}[precision]
        # As in `deepspeed_config`: 2 ** 16 is halved at each overflow, and doubled after 1,000 steps without one.
        self._scaler = torch.amp.GradScaler(self.device.type, growth_interval=1000, enabled=precision == "fp16")
        self._norm: torch.Tensor | None = None

    def __call__(self, batch: Mapping[str, torch.Tensor], progress: float) -> dict[str, torch.Tensor]:
        """The losses of a batch on the device."""
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not None):
            losses: dict[str, torch.Tensor] = self.module(batch, progress)
        return losses

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of a loss to the gradient of the step."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Clip the gradients, update the weights unless fp16 overflowed, and clear the gradients."""
        self._scaler.unscale_(self.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._norm = torch.nn.utils.clip_grad_norm_(parameters, self._clip)
        scale = self._scaler.get_scale()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.skipped_steps += self._scaler.get_scale() < scale
        self.optimizer.zero_grad()

    def get_global_grad_norm(self) -> torch.Tensor | None:
        """Norm of the gradient of the last step before clipping."""
        return self._norm

    def zero_optimization_stage(self) -> int:
        """0: no parameter is sharded."""
        return 0

    def save_checkpoint(self, folder: str, tag: str, save_latest: bool) -> None:
        """Write weights, the optimizer's state and the loss scale to `folder/tag/engine.pt`."""
        del save_latest  # a folder holds one checkpoint
        (Path(folder) / tag).mkdir()
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "skipped_steps": self.skipped_steps,
        }
        self.checkpoint_engine.save(state, str(Path(folder) / tag / "engine.pt"))

    def load_checkpoint(self, folder: str, tag: str) -> None:
        """Read what `save_checkpoint` wrote: tensors and numbers only, no pickled objects."""
        state = torch.load(Path(folder) / tag / "engine.pt", map_location=self.device, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.skipped_steps = state["skipped_steps"]
