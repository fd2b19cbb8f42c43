"""What every job has in common: where it runs, the dry run, and the record of its configuration."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator

from kpray import __version__
from kpray.corpus.limits import Limits
from kpray.corpus.reading import read_chunks
from kpray.corpus.sources import Source, find_sources
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.printing import print_result
from kpray.report.page import RunDetails
from kpray.settings import Settings, dump_settings
from kpray.storage import Location, reason_of
from kpray.versions import versions

# In an output folder, beside the results. Readers of Parquet folders pass over names that begin with an underscore.
STATE_FOLDER = "_kpray"  # what a job needs to resume
CONFIG_FILE = "_config.yaml"
VERSIONS_FILE = "_versions.json"


class JobSettings(Settings):
    """What every job takes."""

    address: str | None = None
    """Ray cluster to run on (auto, host:6379); null: the one submitted to, else a local Ray."""
    dry_run: bool = False
    """Print the resolved configuration, the resources and the data, and start nothing."""


Folder = Annotated[str, BeforeValidator(str)]
"""Where a job writes: a folder that all nodes see, or one in object storage (`kpray.cluster.mirror`)."""


def print_plan(job: JobSettings, data: str) -> None:
    """What a dry run prints: the resolved configuration, the resources, the data."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    resources = f"Ray at {job.address}" if job.address else f"this machine: {os.cpu_count()} cores, {memory:.0f} GiB"
    print_result(f"{dump_settings(job)}\n# resources: {resources}\n# data: {data}")


def describe_inputs(inputs: Mapping[str, Sequence[str]], limits: Limits) -> str:
    """A line for each input that is given: its name, and what its files hold."""
    lines = [f"{name} {describe_sources(find_sources(paths), limits)}" for name, paths in inputs.items() if paths]
    return "\n#       ".join(lines)


def write_configuration(job: JobSettings, output: Location) -> None:
    """Write the resolved configuration and the versions beside the output.

    Raises:
        UserError: the folder cannot be written.
    """
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        write_text(dump_settings(job), output / CONFIG_FILE)
        write_text(json.dumps(versions(), indent=2) + "\n", output / VERSIONS_FILE)


def run_details(job: JobSettings, started: float) -> RunDetails:
    """What the top of a report says about the run that ends now.

    Args:
        job: the resolved configuration.
        started: `time.monotonic()` at the start.
    """
    return RunDetails.of_this_process(time.monotonic() - started, dump_settings(job), versions())


@contextmanager
def writing(path: Location) -> Iterator[None]:
    """Turn the system's refusal to write at a path into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write: {reason_of(error)}", where=str(path), fix="choose another place") from error


def bind_output(
    output: Location, values: Mapping[str, Any], begun: bool, inputs: Mapping[str, int] | None = None
) -> bool:
    """Write down what all that an output folder holds is made with, or see that it was begun with the same.

    The version of kpray is one of the values. A run that failed before it had any output binds nothing.

    Args:
        output: the folder, which is made.
        values: what must be the same for a run to go on in it, as JSON values.
        begun: whether there is some output.
        inputs: bytes of files by their names, where later runs may leave out some and add others.

    Returns:
        Whether the folder has output of an earlier run with these values.

    Raises:
        UserError: names the first value that differs, or an input whose size does; or the folder cannot be written.
    """
    path = output / STATE_FOLDER / "manifest.json"
    with writing(output):
        (output / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    now = json.loads(json.dumps({"kpray": __version__, **values}))
    known = dict(inputs or {})
    goes_on = begun and path.exists()
    if goes_on:
        before = json.loads(path.read_text(encoding="utf-8"))
        check_same(before, now, output)
        for name, size in before.get("inputs", {}).items():
            if known.setdefault(name, size) != size:
                raise UserError(
                    f"the input has changed since this output was begun ({size} bytes then, {known[name]} now)",
                    where=name,
                    fix="give another --output",
                )
    with writing(output):
        about = {**({"inputs": known} if known else {}), "versions": versions()}
        write_text(json.dumps({**now, **about}, indent=2) + "\n", path)
    return goes_on


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Location) -> None:
    """See that what a folder holds was made with the same values.

    Args:
        before: of its manifest.
        now: of this run, as JSON values.
        folder: for the message.

    Raises:
        UserError: names the first value that differs.
    """
    for name, value in now.items():
        if before.get(name) != value:
            raise UserError(
                f"the folder holds output made with {name} = {before.get(name)!r}, not {value!r}",
                where=str(folder),
                fix="give another --output, or the same configuration",
            )


def describe_sources(sources: Sequence[Source], limits: Limits) -> str:
    """Count what there is to read: one line for each format."""
    lines = []
    for form in sorted({source.format for source in sources}):
        files = [source for source in sources if source.format == form]
        records = sum(len(chunk.items) for source in files for chunk in read_chunks(source, 1000, limits))
        size = sum(source.bytes for source in files) / 2**20
        lines.append(f"{len(files):,} {form} files, {records:,} records, {size:,.1f} MiB")
    return "\n#       ".join(lines)
