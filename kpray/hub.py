"""Predictors on the Hugging Face hub: their files are downloaded by id, and uploaded with a model card."""

from __future__ import annotations

import json
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from kpray.errors import UserError
from kpray.storage import absolute, local_folder

PREDICTOR_FILE = "kpray.json"

# What a predictor consists of: settings, tokenizers, weights, and RAMKG's index and passages. Nothing in it is run.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.npy", "*.faiss", "*.arrow"]
SHIPPED = Path(__file__).with_name("models")
"""Folder of the predictors that come with kpray, each named by its kind."""
_ID = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_TIMEOUT_SECONDS = 5.0


def is_shipped(name: str) -> bool:
    """Whether a name is the kind of a predictor that comes with kpray."""
    return name.isidentifier() and (SHIPPED / name / PREDICTOR_FILE).is_file()


def is_hub_id(name: str) -> bool:
    """Whether a name is an id on the hub, `organization/name` or `organization/name@revision`, and no local folder."""
    return bool(_ID.fullmatch(name)) and not Path(name).exists()


def pin_name(name: str) -> str:
    """The name of a predictor that means the same on every machine and in every folder.

    Returns:
        The name itself if the predictor comes with kpray; an id on the hub with its commit, an absolute path, or the
        URI of a folder in object storage.

    Raises:
        UserError: as `download`.
    """
    if is_shipped(name):
        return name
    return f"{name.partition('@')[0]}@{download(name).name}" if is_hub_id(name) else absolute(name)


def predictor_folder(name: str) -> Path:
    """Local folder of a predictor; from the hub and from object storage it is downloaded once.

    Raises:
        UserError: it cannot be downloaded.
    """
    if is_shipped(name):
        return SHIPPED / name
    return download(name) if is_hub_id(name) else Path(local_folder(name))


def download(name: str) -> Path:
    """Download a predictor into the cache of huggingface_hub, unless it is there.

    Args:
        name: `organization/name` or `organization/name@revision`.

    Returns:
        Folder of the files. Its name is the commit.

    Raises:
        UserError: there is no such predictor on the hub, or it is not on this machine and the hub cannot be reached.
    """
    from huggingface_hub import constants, hf_hub_download

    found = _ID.fullmatch(name)
    assert found is not None, name
    repository, revision = found["name"], found["revision"]
    offline = constants.HF_HUB_OFFLINE or unreachable_hub() is not None
    with _explained(name, "predictor"):
        # The settings first: a repository without them may have gigabytes of other files.
        settings = Path(hf_hub_download(repository, PREDICTOR_FILE, revision=revision, local_files_only=offline))
        return _download_files(repository, settings.parent.name, offline)


@cache  # the files of a commit do not change
def _download_files(repository: str, commit: str, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, revision=commit, allow_patterns=_FILES, local_files_only=offline))


def unreachable_hub() -> str | None:
    """Host of the hub if it cannot be reached, else None. huggingface_hub would retry for half a minute."""
    from huggingface_hub import constants

    if getproxies():  # a proxy may reach the hub
        return None
    hub = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), _TIMEOUT_SECONDS).close()
    except OSError:
        return hub.hostname or constants.ENDPOINT
    return None


def push(
    save: Callable[[Path], None],
    name: str,
    about: str,
    trained: Path | None,
    *,
    private: bool | None,
    token: str | None,
    license: str | None,
) -> str:
    """Upload a predictor.

    Args:
        save: writes the predictor into a folder.
        name: see `Predictor.push_to_hub`, as for `private`, `token` and `license`.
        about: what the method does, and its paper.
        trained: folder that a training wrote; its scores are shown on the card.
        private: see there.
        token: see there.
        license: see there.

    Raises:
        UserError: see there.
    """
    from huggingface_hub import HfApi, constants

    if not isinstance(name, str) or not _ID.fullmatch(name) or "@" in name:
        raise UserError(f"{name!r} is not the id of a repository", where="push_to_hub", fix="write organization/name")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save(folder)
        saved = json.loads((folder / PREDICTOR_FILE).read_text(encoding="utf-8"))
        model = saved["config"].get("model")
        if model is not None and Path(model).is_absolute():
            raise UserError(
                f"the predictor uses the local folder {model}, which other machines do not have",
                where="push_to_hub",
                fix="upload that model to the hub, and open the predictor with its id",
            )
        scores = _scores(trained) if trained else {}
        (folder / "README.md").write_text(model_card(name, saved, about, scores, license), encoding="utf-8")
        with _explained(name, "push_to_hub"):
            api = HfApi(endpoint=constants.ENDPOINT, token=token, library_name="kpray")
            api.create_repo(name, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload a kpray predictor"))


def _scores(trained: Path) -> dict[str, float]:
    """Metrics of the validation, as the training wrote them; empty if it wrote none."""
    file = trained / "training.json"
    metrics = json.loads(file.read_text(encoding="utf-8")).get("metrics", {}) if file.is_file() else {}
    return {name: float(value) for name, value in metrics.items()}


def model_card(
    name: str, saved: Mapping[str, Any], about: str, scores: Mapping[str, float], license: str | None
) -> str:
    """The page of a predictor on the hub, in Markdown with the hub's metadata.

    Args:
        name: id of the repository.
        saved: contents of `kpray.json`.
        about: what the method does, and its paper.
        scores: metrics of the validation; empty: not known.
        license: license of the model; None: not known.
    """
    from huggingface_hub import ModelCardData

    kind, config, training = saved["kind"], saved["config"], saved.get("training", {})
    bases = [config.get("model"), training.get("task", {}).get("model", {}).get("backbone")]
    base = next((each for each in bases if each and not Path(each).is_absolute()), None)
    data = ModelCardData(
        library_name="kpray",
        license=license,
        base_model=base,
        tags=["kpray", kind, "keyphrase-extraction", *(["keyphrase-generation"] if training else [])],
    )
    lines = [
        *("---", data.to_yaml(), "---", "", f"# {name}", "", about, ""),
        *("## Use", "", "```console", "pip install kpray", "```", "", "```python"),
        *("from kpray import open_predictor", "", f'predictor = open_predictor("{name}")'),
        *('for keyphrase in predictor("A text of any length."):', "    print(keyphrase.text, keyphrase.score)", "```"),
        *("", "## Configuration", "", "```json", json.dumps(config, indent=2, ensure_ascii=False), "```", ""),
    ]
    if scores:
        lines += ["## Scores on the validation data of the training", "", "| metric | value |", "|---|---:|"]
        lines += [*(f"| {metric} | {value:.2f} |" for metric, value in scores.items()), ""]
    return "\n".join(lines)


@contextmanager
def _explained(name: str, where: str) -> Iterator[None]:
    """Turn the errors of the hub into one line."""
    from huggingface_hub import errors
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(
            f"access to {name!r} has to be requested on the hub", where=where, fix="then run `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{name!r} is neither a folder nor a repository on the hub",
            where=where,
            fix="for a private repository, run `hf auth login`",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name!r}: the repository has no such revision", where=where) from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            f"{name!r} is neither a folder nor on this machine, and the hub cannot be reached",
            where=where,
            fix="check the name and the network, or copy the predictor's folder",
        ) from error
    except errors.EntryNotFoundError as error:
        raise UserError(
            f"{name!r} is a repository on the hub, but no predictor: it has no {PREDICTOR_FILE}",
            where=where,
            fix=f"to use it as a model of SAMRank, set samrank.model to {name}",
        ) from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"the hub did not answer for {name!r}: {reason}", where=where) from error
    finally:
        enable_progress_bars()
