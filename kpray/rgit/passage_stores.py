"""The English passages of a training job: read once into its output folder, where every worker finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kpray import __version__
from kpray.cluster.job import STATE_FOLDER, check_same, writing
from kpray.corpus.limits import Limits
from kpray.corpus.sources import find_sources
from kpray.corpus.store import build_store
from kpray.corpus.writing import write_text
from kpray.log import say

FOLDER = "english"  # in the output folder


def english_store(paths: Sequence[str], output: Path, limits: Limits, name: str = FOLDER, lang: str = "en") -> Path:
    """Build the `PassageStore` of a job's English passages, or find the one that an earlier run built.

    Args:
        paths: files and folders of documents, as --english takes them.
        output: the job's output folder, which all nodes see.
        limits: sizes beyond which a record is rejected.
        name: of the store's folder in it, and of the option that names the files.
        lang: language of records that name none.

    Returns:
        The store's folder, an absolute path.

    Raises:
        UserError: the folder has the passages of other files, or these cannot be read.
    """
    output = output.resolve()  # workers have other current folders
    folder, manifest = output / name, output / STATE_FOLDER / f"{name}.json"
    inputs = {
        "kpray": __version__,
        name: [[source.path, source.bytes] for source in find_sources(paths)],
        "lang": lang,
        "limits": limits.model_dump(),
    }
    if folder.exists() and manifest.exists():
        check_same(json.loads(manifest.read_text(encoding="utf-8")), inputs, folder)
        return folder
    with writing(output):
        manifest.parent.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(inputs, indent=2) + "\n", manifest)
        say("reading", f"reading --{name}")
        build_store(paths, folder, lang, limits)
    return folder
