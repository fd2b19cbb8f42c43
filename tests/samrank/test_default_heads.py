"""The default heads belong to all-MiniLM-L6-v2; with another model one line says how to choose heads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kpray.errors import UserError
from kpray.pretrained import MINILM
from kpray.registry import pin_config
from kpray.samrank.config import SAMRankConfig, _warn
from kpray.samrank.predictor import SAMRank
from kpray.settings import CONFIGURATIONS, validate_settings
from kpray.sweep.config import HeadSweepSettings
from tests.samrank.tiny_models import HEADS, TinyModel, save_sized_bert

PAPER_HEADS = ("4-12",)


@pytest.fixture(autouse=True)
def first_warning() -> None:
    """As in a new process."""
    _warn.cache_clear()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model with the layers and heads of all-MiniLM-L6-v2."""
    return save_sized_bert(tmp_path_factory.mktemp("wide model"), layers=6, heads=12)


@pytest.mark.parametrize("heads", [None, PAPER_HEADS], ids=["default", "samrank-paper"])
def test_another_model_warns_once_in_a_process(
    heads: tuple[str, ...] | None, wide: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SAMRankConfig(model=wide) if heads is None else SAMRankConfig(model=wide, heads=heads)
    config.pinned()  # a job or service, on the user's terminal
    SAMRank(config)
    SAMRank(config)
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"kpray: warning: SAMRank's default heads belong to all-MiniLM-L6-v2, not to {wide}: choose heads with "
        f"`kpray sweep heads --space.model '{wide}' --valid FILE --output DIR`"
    )


def test_opening_a_predictor_warns_without_pinning(wide: str, capsys: pytest.CaptureFixture[str]) -> None:
    SAMRank(SAMRankConfig(model=wide))
    assert "kpray sweep heads --space.model" in capsys.readouterr().err


def test_workers_get_the_warning_too(wide: str, capsys: pytest.CaptureFixture[str]) -> None:
    pinned = pin_config("samrank", {"model": wide})
    _warn.cache_clear()  # a worker is another process; its configuration names the default heads
    capsys.readouterr()
    SAMRank(validate_settings(SAMRankConfig, pinned, where="here"))
    assert "kpray sweep heads --space.model" in capsys.readouterr().err


def test_heads_that_the_user_chose_do_not_warn(wide: str, capsys: pytest.CaptureFixture[str]) -> None:
    SAMRank(SAMRankConfig(model=wide, heads=("6-11", "5-5")).pinned())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["name", "short name", "package", "copy"])
def test_minilm_does_not_warn(kind: str, minilm: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "model"
    shutil.copytree(minilm.folder, copy)
    names = {"name": MINILM, "short name": MINILM.split("/")[1], "package": minilm.folder, "copy": str(copy)}
    SAMRank(SAMRankConfig(model=names[kind]).pinned())
    assert capsys.readouterr().err == ""


def test_other_weights_of_the_same_size_warn(
    minilm: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(minilm.folder, copy)
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(-4, 2)
        weights.write(bytes(4))
    SAMRankConfig(model=str(copy)).pinned()
    assert "default heads belong to all-MiniLM-L6-v2" in capsys.readouterr().err


def test_model_without_the_default_heads_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = save_sized_bert(tmp_path, layers=3, heads=HEADS)
    with pytest.raises(UserError) as error:
        SAMRank(SAMRankConfig(model=folder))
    assert str(error.value) == (
        "heads: the model has no head 6-11; the default heads belong to all-MiniLM-L6-v2 "
        f"(choose heads with `kpray sweep heads --space.model {folder} --valid FILE --output DIR`)"
    )


def test_the_command_that_is_named_has_these_options(tmp_path: Path) -> None:
    fields = {"valid": ["valid.jsonl"], "output": str(tmp_path), "space": {"model": ["model"]}}
    assert validate_settings(HeadSweepSettings, fields, where="here").models == ("model",)


def test_heads_of_the_configuration_of_the_paper_are_known() -> None:
    text = (CONFIGURATIONS / "samrank-paper.yaml").read_text("utf-8")
    assert f'heads: ["{PAPER_HEADS[0]}"]' in text
