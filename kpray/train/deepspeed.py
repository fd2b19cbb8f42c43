"""DeepSpeed for the training loop: its configuration, its engine, and the model inside the engine.

The number of micro-batches of a step depends on the lengths of its documents. Therefore the loop itself decides when a
step ends (`managed_gradient_accumulation: false`), and scales the losses.
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
    """Resolve `run.precision` for the hardware of the cluster.

    Args:
        precision: the configured value.
        cuda: whether the workers have GPUs.
        bf16: whether the GPUs support bfloat16. CPUs always do.

    Raises:
        UserError: the hardware does not support the precision.
    """
    if precision == "auto":
        return "fp16" if cuda else "fp32"
    if precision == "fp16" and not cuda:
        raise UserError("fp16 needs GPUs", where="run.precision", fix="choose fp32, bf16 or auto")
    if precision == "bf16" and cuda and not bf16:
        raise UserError("these GPUs do not support bf16", where="run.precision", fix="choose fp16, fp32 or auto")
    return precision


def deepspeed_config(optim: OptimConfig, zero: int, precision: Precision, *, universal: bool = False) -> dict[str, Any]:
    """The configuration for `deepspeed.initialize`.

    Args:
        optim: provides the limit of gradient clipping.
        zero: ZeRO stage.
        precision: precision of parameters and activations. The optimizer state is always float32.
        universal: the checkpoint to load was converted for another number of workers.
    """
    config: dict[str, Any] = {
        # DeepSpeed requires both values but does not use them: the loop decides when a step ends.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": optim.clip or 0.0,
        "zero_optimization": {"stage": zero},
        "zero_allow_untested_optimizer": True,  # torch's AdamW needs no compiler on the machine
        "checkpoint": {"load_universal": universal},
        "steps_per_print": 2**31,
    }
    if precision == "fp16":
        # Dynamic loss scale: starts at 2 ** 16, halved at an overflow, doubled after 1,000 steps without one.
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
    """Learning rate of a step: it rises linearly during the warm-up, then falls linearly. It is never 0.

    Args:
        step: index of the step, 0 to steps - 1.
        steps: number of steps of the whole training.
        optim: the highest rate, and the length of the warm-up.
    """
    warmup = min(round(optim.warmup if optim.warmup >= 1 else optim.warmup * steps), steps)
    return optim.lr * ((step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup))


def parameter_groups(model: torch.nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: weight decay for matrices, but not for vectors (biases and layer normalization).

    Args:
        model: the model. If it has an attribute `new_parameters`, these are names of weights that are not part of its
            backbone. Their learning rate is `optim.new_lr` times that of the others (key `factor` of a group).
        optim: the weight decay and the factor.
    """
    new: frozenset[str] = getattr(model, "new_parameters", frozenset())
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (optim.new_lr if name in new else 1.0, optim.weight_decay if parameter.ndim > 1 else 0.0)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in groups.items()
    ]


def build_model(task: TrainingTask, optim: OptimConfig, run: RunConfig) -> torch.nn.Module:
    """Build the model in training mode, with the same initial weights in every worker.

    Raises:
        UserError: the model cannot be loaded, or does not support gradient checkpointing.
    """
    torch.manual_seed(optim.seed)
    model = task.build().train()  # transformers loads models for evaluation
    if run.gradient_checkpointing:
        enable = getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise UserError(
                f"{task.kind} does not support gradient checkpointing",
                where="run.gradient_checkpointing",
                fix="set it to false",
            )
        enable()
    return model


def start_engine(module: torch.nn.Module, groups: list[dict[str, Any]], config: Mapping[str, Any]) -> Any:
    """Make a DeepSpeed engine. Every worker calls this, inside a process group.

    Args:
        module: the module to train. Its forward method returns a dictionary of losses.
        groups: from `parameter_groups`. The loop sets their learning rates at each step.
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
    """The model in training with whole parameters, for evaluation. Every worker calls this.

    At ZeRO 3, each worker has a share of every parameter. This function gathers the parameters one by one into a second
    model. DeepSpeed could gather them during evaluation only if all workers called the model equally often.

    Args:
        engine: DeepSpeed engine.
        model: the model inside the engine's module.
        build: makes another model of the same kind.
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
