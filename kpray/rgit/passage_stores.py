"""The passages of a training job. They are read once into the output folder, where all workers find them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kpray.cluster.inputs import identify, step_inputs
from kpray.cluster.job import writing
from kpray.cluster.step_cache import StepCache
from kpray.corpus.limits import Reading
from kpray.corpus.sources import find_sources
from kpray.corpus.store import PassageStore, build_store
from kpray.log import say

_STORE = "store"  # name in the step's folder; a store, too, is complete or absent


def english_store(paths: Sequence[str], output: Path, reading: Reading) -> Path:
    """`passage_store` of the value of --english. Records that do not name a language are English."""
    return passage_store("english", paths, output, reading.model_copy(update={"lang": "en"}))


def passage_store(name: str, paths: Sequence[str], output: Path, reading: Reading) -> Path:
    """Build the `PassageStore` of a job's passages, or reuse the store of an earlier run.

    Args:
        name: name of the option that gives the files.
        paths: files and folders of documents, the value of that option.
        output: the job's output folder, which all nodes share. Each set of files has a subfolder.
        reading: how records are read.

    Returns:
        The store's folder, an absolute path.

    Raises:
        UserError: the files cannot be read, or the folder cannot be written.
    """
    inputs = {
        "files": step_inputs(identify(find_sources(paths, follow_links=reading.follow_links))),
        **reading.model_dump(mode="json"),
    }

    def work(folder: Path) -> dict[str, Any]:
        if (folder / _STORE).exists():  # an earlier run was killed just before the step was finished
            store = PassageStore(folder / _STORE)
        else:
            say("reading", f"reading --{name}")
            with writing(folder):
                store = build_store(paths, folder / _STORE, reading)
        return {"sha256": store.sha256, "records": len(store), "rejected": store.rejected}

    # An absolute path, because the current folder of workers differs.
    return StepCache(output.resolve()).do(name, inputs, work).folder / _STORE
