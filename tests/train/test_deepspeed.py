"""The configuration of DeepSpeed, with and without GPUs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kpray.errors import UserError
from kpray.train.deepspeed import choose_precision, deepspeed_config, learning_rate, parameter_groups
from kpray.train.loop import Losses
from kpray.training import OptimConfig
from tests.train.tiny_task import TinyConfig, TinyModel, TinyTask, make_records

COMMON = {
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "managed_gradient_accumulation": False,
    "zero_allow_untested_optimizer": True,
    "steps_per_print": 2**31,
}


@pytest.mark.parametrize(
    ("precision", "cuda", "bf16", "expected"),
    [
        ("auto", True, True, "fp16"),
        ("auto", True, False, "fp16"),
        ("auto", False, True, "fp32"),
        ("fp16", True, False, "fp16"),
        ("bf16", True, True, "bf16"),
        ("bf16", False, True, "bf16"),
        ("fp32", True, True, "fp32"),
    ],
)
def test_precision(precision: Any, cuda: bool, bf16: bool, expected: str) -> None:
    assert choose_precision(precision, cuda, bf16) == expected


@pytest.mark.parametrize(
    ("precision", "cuda", "bf16", "message"),
    [("fp16", False, True, "fp16 needs GPUs"), ("bf16", True, False, "these GPUs do not support bf16")],
)
def test_unsupported_precision(precision: Any, cuda: bool, bf16: bool, message: str) -> None:
    with pytest.raises(UserError, match=f"run.precision: {message}"):
        choose_precision(precision, cuda, bf16)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_configuration_on_a_cpu(zero: int) -> None:
    assert deepspeed_config(OptimConfig(clip=None), zero, "fp32") == {
        **COMMON,
        "gradient_clipping": 0.0,
        "zero_optimization": {"stage": zero},
        "checkpoint": {"load_universal": False},
    }


def test_configuration_on_gpus() -> None:
    half = deepspeed_config(OptimConfig(clip=0.5), 2, "fp16", universal=True)
    loss_scale = {"loss_scale": 0, "initial_scale_power": 16, "loss_scale_window": 1000, "min_loss_scale": 1}
    assert half == {
        **COMMON,
        "gradient_clipping": 0.5,
        "zero_optimization": {"stage": 2},
        "checkpoint": {"load_universal": True},
        "fp16": {"enabled": True, "hysteresis": 2, **loss_scale},
    }
    brain = deepspeed_config(OptimConfig(), 3, "bf16")
    assert brain["bf16"] == {"enabled": True}
    assert "fp16" not in brain


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_deepspeed_accepts_the_configuration(zero: int, precision: Any) -> None:
    from deepspeed.runtime.config import DeepSpeedConfig

    config = DeepSpeedConfig(deepspeed_config(OptimConfig(clip=0.5), zero, precision))
    assert config.zero_optimization_stage == zero
    assert config.gradient_clipping == 0.5
    assert config.managed_gradient_accumulation is False
    assert (config.float16_config.enabled, config.bfloat16_config.enabled) == (precision == "fp16", precision == "bf16")
    if precision == "fp16":
        assert config.float16_config.dynamic_loss_scale_args()["init_scale"] == 2**16


def test_learning_rate_by_hand() -> None:
    optim = OptimConfig(lr=8.0, warmup=0.4)
    rates = [learning_rate(step, 10, optim) for step in range(10)]
    assert rates == pytest.approx([8 * 1 / 4, 8 * 2 / 4, 8 * 3 / 4, 8, 8, *(8 * left / 6 for left in (5, 4, 3, 2, 1))])
    assert [learning_rate(step, 3, OptimConfig(lr=6.0, warmup=0)) for step in range(3)] == [6, 4, 2]
    assert [learning_rate(step, 3, OptimConfig(lr=6.0, warmup=3)) for step in range(3)] == [2, 4, 6]
    assert [learning_rate(step, 4, OptimConfig(lr=6.0, warmup=2)) for step in range(4)] == [3, 6, 6, 3]
    assert [learning_rate(step, 2, OptimConfig(lr=50.0, warmup=50)) for step in range(2)] == [25, 50]  # all steps
    assert learning_rate(0, 1, OptimConfig(lr=6.0, warmup=0.1)) == 6


def test_weight_decay_is_for_matrices() -> None:
    model = TinyModel(8, 0.0)
    model.outer.weight.requires_grad_(False)
    decayed, others = parameter_groups(model, OptimConfig(weight_decay=0.1))
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [names[id(parameter)] for parameter in decayed["params"]] == ["embedding.weight", "inner.weight"]
    biases = ["normalization.weight", "normalization.bias", "inner.bias", "outer.bias"]
    assert [names[id(parameter)] for parameter in others["params"]] == biases


def test_new_weights_have_another_learning_rate() -> None:
    model = TinyModel(8, 0.0)
    optim = OptimConfig(weight_decay=0.1, new_lr=5.0)
    assert [group["factor"] for group in parameter_groups(model, optim)] == [1, 1]
    model.new_parameters = frozenset({"outer.weight", "outer.bias"})  # type: ignore[assignment]
    groups = parameter_groups(model, optim)
    assert {(group["factor"], group["weight_decay"]): len(group["params"]) for group in groups} == {
        (1.0, 0.1): 2,
        (1.0, 0.0): 3,
        (5.0, 0.1): 1,
        (5.0, 0.0): 1,
    }
    assert len(parameter_groups(model, OptimConfig())) == 2


def test_trained_module_returns_losses() -> None:
    task = TinyTask(TinyConfig())
    model = task.build()
    records = make_records(3, seed=0)
    rows = [row for row in task.tokenize(records) if not isinstance(row, str)]
    batch = task.collate([{name: np.array(row[name]) for name in ("ids", "label")} for row in rows], [0, 1, 2])
    losses = Losses(task, model)(batch, 0.0)
    assert losses.keys() == {"loss", "right"}
    assert losses["loss"] == task.losses(model, batch, 0.0)["loss"]
