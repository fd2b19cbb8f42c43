"""The English passages of a training job: read once into its output folder, where every worker finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kpray.cluster.job import writing
from kpray.cluster.step_cache import StepCache
from kpray.corpus.limits import Limits
from kpray.corpus.sources import find_sources
from kpray.corpus.store import PassageStore, build_store
from kpray.log import say

_STORE = "store"  # in the step's folder: a store is whole or absent, too


def english_store(paths: Sequence[str], output: Path, limits: Limits, name: str = "english", lang: str = "en") -> Path:
    """Build the `PassageStore` of a job's English passages, or find the one that an earlier run built.

    Args:
        paths: files and folders of documents, as --english takes them.
        output: the job's output folder, which all nodes see; each choice of files has a folder of its own in it.
        limits: sizes beyond which a record is rejected.
        name: of the option that names the files.
        lang: language of records that name none.

    Returns:
        The store's folder, an absolute path.

    Raises:
        UserError: the files cannot be read, or the folder cannot be written.
    """
    inputs = {
        "files": [[source.path, source.bytes] for source in find_sources(paths)],
        "lang": lang,
        "limits": limits.model_dump(),
    }

    def work(folder: Path) -> dict[str, Any]:
        if (folder / _STORE).exists():  # a run was killed just before it was finished
            store = PassageStore(folder / _STORE)
        else:
            say("reading", f"reading --{name}")
            with writing(folder):
                store = build_store(paths, folder / _STORE, lang, limits)
        return {"sha256": store.sha256, "records": len(store), "rejected": store.rejected}

    # Workers have other current folders.
    return StepCache(output.resolve()).do(name, inputs, work).folder / _STORE
