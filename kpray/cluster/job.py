"""Code that all jobs share: common settings, the dry run, and the record of the configuration."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator

from kpray import __version__
from kpray.cluster.inputs import check_inputs
from kpray.corpus.limits import Reading
from kpray.corpus.reading import read_chunks
from kpray.corpus.sources import Source, find_sources
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.json_files import read_object
from kpray.printing import print_result
from kpray.report.page import RunDetails
from kpray.settings import Settings, dump_settings
from kpray.storage import Location, reason_of
from kpray.versions import versions

# Names in an output folder, next to the results. Readers of Parquet folders skip names that begin with an underscore.
_MANIFEST = "manifest.json"
STATE_FOLDER = "_kpray"  # files that a job needs to resume
CONFIG_FILE = "_config.yaml"
VERSIONS_FILE = "_versions.json"


class JobSettings(Settings):
    """Settings of every job."""

    address: str | None = None
    """Address of a Ray cluster, such as auto or host:6379. If null, use the cluster that the job was submitted to, or
    start a local Ray."""
    dry_run: bool = False
    """Print the resolved configuration, the resources and the input data, and do nothing else."""


Folder = Annotated[str, BeforeValidator(str)]
"""Output folder of a job: a folder that all nodes share, or one in object storage (`kpray.cluster.mirror`)."""


def print_plan(job: Settings, data: str) -> None:
    """Print the resolved configuration, the resources and the data, for a dry run."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    address = job.address if isinstance(job, JobSettings) else None
    resources = f"Ray at {address}" if address else f"this machine: {os.cpu_count()} cores, {memory:.0f} GiB"
    print_result(f"{dump_settings(job)}\n# resources: {resources}\n# data: {data}")


def describe_inputs(inputs: Mapping[str, Sequence[str]], reading: Reading) -> str:
    """One line for each given input: its name, and the counts of `describe_sources`."""
    found = {name: find_sources(paths, follow_links=reading.follow_links) for name, paths in inputs.items() if paths}
    lines = [f"{name} {describe_sources(sources, reading)}" for name, sources in found.items()]
    return "\n#       ".join(lines)


def write_configuration(job: JobSettings, output: Location) -> None:
    """Write the resolved configuration and the library versions into the output folder.

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
    """Turn an `OSError` of writing to a path into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write: {reason_of(error)}", where=str(path), fix="choose another path") from error


def bind_output(
    output: Location,
    values: Mapping[str, Any],
    begun: bool,
    inputs: Mapping[str, Any] | None = None,
    *,
    may_add: bool = False,
) -> bool:
    """Record the values that an output folder is made with, or check that an earlier run recorded the same values.

    The version of kpray is one of the values. If an earlier run failed before it had any output, its values are
    replaced.

    Args:
        output: the output folder. It is created.
        values: values that must not change between runs, as JSON values.
        begun: whether the folder already contains output.
        inputs: identities of the input files (`kpray.cluster.inputs.identify`).
        may_add: whether later runs may add files.

    Returns:
        Whether the folder contains output of an earlier run with these values.

    Raises:
        UserError: a value differs, an input has changed, is missing or is new (the error names the first one), or the
            folder cannot be written.
    """
    path = output / STATE_FOLDER / _MANIFEST
    with writing(output):
        (output / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    now = json.loads(json.dumps({"kpray": __version__, **values}))
    resumed = begun and path.exists()
    if resumed:
        before = read_object(path, "give another --output")
        check_same(before, now, output)
        check_inputs(before.get("inputs", {}), inputs or {}, output, may_add=may_add)
    with writing(output):
        about: dict[str, Any] = {**({"inputs": inputs} if inputs else {}), "versions": versions()}
        write_text(json.dumps({**now, **about}, indent=2) + "\n", path)
    return resumed


def recorded_inputs(output: Location) -> dict[str, Any]:
    """Identities of the inputs in the manifest of an output folder; empty if it has none."""
    path = output / STATE_FOLDER / _MANIFEST
    inputs: dict[str, Any] = read_object(path, "give another --output").get("inputs", {}) if path.exists() else {}
    return inputs


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Location) -> None:
    """Check that the output in a folder was made with the same values.

    Args:
        before: the values in the folder's manifest.
        now: the values of this run, as JSON values.
        folder: the folder, for the error message.

    Raises:
        UserError: a value differs. The error names the first one.
    """
    for name, value in now.items():
        if before.get(name) != value:
            raise UserError(
                f"the folder holds output made with {name} = {before.get(name)!r}, not {value!r}",
                where=str(folder),
                fix="give another --output, or the same configuration",
            )


def describe_sources(sources: Sequence[Source], reading: Reading) -> str:
    """Count the files, records and MiB to read, one line for each format."""
    lines = []
    for form in sorted({source.format for source in sources}):
        files = [source for source in sources if source.format == form]
        records = sum(len(chunk.items) for source in files for chunk in read_chunks(source, 1000, reading))
        size = sum(source.bytes for source in files) / 2**20
        lines.append(f"{len(files):,} {form} files, {records:,} records, {size:,.1f} MiB")
    return "\n#       ".join(lines)
