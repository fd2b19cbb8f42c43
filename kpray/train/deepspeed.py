"""DeepSpeed as the training loop uses it: its configuration, its engine, and the model inside.

A step has as many forward and backward passes as its documents need, a number that changes from step to step: the loop
itself says where a step ends (`managed_gradient_accumulation: false`), and scales its losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from kpray.cluster.ray_compat import skip_shared_memory, zero_stage
from kpray.errors import UserError
from kpray.training import OptimConfig, RunConfig, TrainingTask

Precision = Literal["fp16", "bf16", "fp32"]


def choose_precision(precision: Literal["auto", "fp16", "bf16", "fp32"], cuda: bool, bf16: bool) -> Precision:
    """What `run.precision` means on the machines at hand.

    Args:
        precision: as configured.
        cuda: whether there are GPUs.
        bf16: whether they can do bfloat16; a CPU can.

    Raises:
        UserError: they cannot do what is asked for.
    """
    if precision == "auto":
        return "fp16" if cuda else "fp32"
    if precision == "fp16" and not cuda:
        raise UserError("fp16 needs GPUs", where="run.precision", fix="choose fp32, bf16 or auto")
    if precision == "bf16" and cuda and not bf16:
        raise UserError("these GPUs cannot do bf16", where="run.precision", fix="choose fp16, fp32 or auto")
    return precision


def deepspeed_config(optim: OptimConfig, zero: int, precision: Precision, *, universal: bool = False) -> dict[str, Any]:
    """The configuration that `deepspeed.initialize` takes.

    Args:
        optim: for the clipping.
        zero: stage of ZeRO.
        precision: of parameters and activations; the optimizer's are always float32.
        universal: the checkpoint to load was converted for another number of workers.
    """
    config: dict[str, Any] = {
        # Both are names only: the loop scales its losses, and says where a step ends.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": optim.clip or 0.0,
        "zero_optimization": {"stage": zero},
        "zero_allow_untested_optimizer": True,  # torch's AdamW, which needs no compiler on the machine
        "checkpoint": {"load_universal": universal},
        "steps_per_print": 2**31,
    }
    if precision == "fp16":
        # 2 ** 16 is halved at each overflow, and doubled after 1,000 steps without one.
        config["fp16"] = {
            "enabled": True,
            "loss_scale": 0,
            "initial_scale_power": 16,
            "loss_scale_window": 1000,
            "hysteresis": 2,
            "min_loss_scale": 1,
        }
    elif precision == "bf16":
        config["bf16"] = {"enabled": True}
    return config


def learning_rate(step: int, steps: int, optim: OptimConfig) -> float:
    """Learning rate of a step: rises in a straight line over the warm-up, then falls in one.

    Args:
        step: 0, 1, ..., steps - 1. No step has a rate of 0.
        steps: of the whole training.
        optim: highest rate, and the share of the warm-up.
    """
    warmup = round(optim.warmup * steps)
    return optim.lr * ((step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup))


def parameter_groups(model: torch.nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """Groups for AdamW: weight decay for matrices, none for biases and layer normalization, which are vectors.

    Args:
        model: where it has an attribute `new_parameters`, these names are of weights that do not come from its
            backbone, and their learning rate is `optim.new_lr` times that of the others (`factor` of a group).
        optim: for the weight decay and the factor.
    """
    new: frozenset[str] = getattr(model, "new_parameters", frozenset())
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (optim.new_lr if name in new else 1.0, optim.weight_decay if parameter.ndim > 1 else 0.0)
            groups.setdefault(key, []).append(parameter)
    return [{"params": own, "weight_decay": decay, "factor": factor} for (factor, decay), own in groups.items()]


def build_model(task: TrainingTask, optim: OptimConfig, run: RunConfig) -> torch.nn.Module:
    """The model with its starting weights, the same in every worker, ready to be trained.

    Raises:
        UserError: it cannot be loaded, or cannot do gradient checkpointing.
    """
    torch.manual_seed(optim.seed)
    model = task.build().train()  # transformers loads models for evaluation
    if run.gradient_checkpointing:
        enable = getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise UserError(
                f"{task.kind} has no gradient checkpointing", where="run.gradient_checkpointing", fix="false"
            )
        enable()
    return model


def start_engine(module: torch.nn.Module, groups: list[dict[str, Any]], config: Mapping[str, Any]) -> Any:
    """Hand a module to DeepSpeed; every worker calls this, in a process group.

    Args:
        module: what is trained; its forward returns a dictionary of losses.
        groups: from `parameter_groups`; each step sets their learning rates.
        config: from `deepspeed_config`.
    """
    import deepspeed

    deepspeed.logger.setLevel("WARNING")
    skip_shared_memory()
    deepspeed.init_distributed(dist_backend=torch.distributed.get_backend())
    optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=dict(config))
    return engine


def whole_model(engine: Any, model: torch.nn.Module, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A model that is trained, as it is, for evaluation; every worker calls this.

    At ZeRO 3 each worker has a share of every parameter: they are gathered, one after the other, into another model,
    since workers that do not call the model equally often could not gather them while they do.

    Args:
        engine: DeepSpeed's.
        model: in its module.
        build: gives another model of the kind.
    """
    if zero_stage(engine) < 3:
        return model
    import deepspeed

    whole = build().to(engine.device)
    parameters = dict(whole.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter]):
                parameters[name].copy_(parameter)
        for name, buffer in model.named_buffers():
            whole.get_buffer(name).copy_(buffer)
    return whole
