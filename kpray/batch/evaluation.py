"""Predicts with several systems on several data sets, and scores the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from kpray.batch.config import BatchConfig
from kpray.batch.extract import BatchRun, check_manifest, predict_files
from kpray.claims import claimed
from kpray.cluster.job import STATE_FOLDER
from kpray.cluster.session import ray_session
from kpray.corpus.limits import Reading
from kpray.corpus.records import Reject, read_records
from kpray.corpus.sources import find_sources, short_names
from kpray.corpus.writing import read_made_by, read_predictions
from kpray.document import Keyphrase, Record
from kpray.errors import UserError
from kpray.json_files import read_object
from kpray.metrics.datasets import CASE, case_rows, choose_case, dataset_rows, gold_rows
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import Protocol
from kpray.metrics.results import DocumentKey
from kpray.metrics.runs import Run
from kpray.report.page import Section


@dataclass(frozen=True, slots=True)
class DataSet:
    """Documents with gold keyphrases: one file, or all files of one folder.

    Attributes:
        name: name in tables, and of the folder with its predictions.
        path: path of the file or folder.
        records: the readable records.
    """

    name: str
    path: str
    records: Sequence[Record]

    def document_keys(self) -> set[DocumentKey]:
        """Language and id of each record."""
        return {(record.document.lang, record.document.id) for record in self.records}


def read_data_sets(paths: Sequence[str], reading: Reading) -> list[DataSet]:
    """Read each path as a data set. Unreadable records are skipped, as in prediction.

    Raises:
        UserError: as in `find_sources`.
    """
    return [
        DataSet(name, path, [record for record in read_records([path], reading) if not isinstance(record, Reject)])
        for name, path in zip(short_names(paths), paths, strict=True)
    ]


def predict_data_sets(
    runs: Sequence[BatchRun], data_sets: Sequence[DataSet], batch: BatchConfig, address: str | None
) -> None:
    """Run every predictor on every data set in one Ray session.

    Args:
        runs: one run for each predictor. The predictions for a data set go to the subfolder `data_set.name` of the
            run's output.
        data_sets: the data sets.
        batch: how the work is distributed over the cluster.
        address: as in `ray_session`.

    Raises:
        UserError: as in `check_manifest` (before the work starts) and `predict_files`.
    """
    work = [
        (replace(run, output=run.output / data.name), find_sources([data.path], follow_links=run.reading.follow_links))
        for run in runs
        for data in data_sets
    ]
    with ExitStack() as owned:
        checked = []
        for run, sources in work:
            owned.enter_context(claimed(run.output))
            checked.append((run, check_manifest(run, sources)))
        models, bfloat16 = [model for run in runs for model in run.models()], any(run.bfloat16() for run in runs)
        with ray_session(address, runs[0].output if runs else None, models, bfloat16=bfloat16):
            for run, sources in checked:
                predict_files(run, sources, batch)


def evaluate_systems(
    folders: Mapping[str, Path], data_sets: Sequence[DataSet], protocol: Protocol, seed: int, *, micro: bool = False
) -> list[Run]:
    """Score the predictions of every system on every data set.

    Args:
        folders: name of a system -> folder of its predictions. Predictions for a data set are read from the subfolder
            `data_set.name` if it exists. Otherwise they are read from the folder itself, which may contain predictions
            for several data sets.
        data_sets: the data sets. Each is scored separately.
        protocol: from `get_protocol`.
        seed: random seed of the bootstrap.
        micro: also compute micro F1.

    Raises:
        UserError: there are no predictions, they do not fit the data sets, or one folder has predictions for two data
            sets with a common id.
    """
    runs = []
    for (system, folder), data in product(folders.items(), data_sets):
        source, predictions = _read_data_set(folder, data, data_sets)
        report = evaluate(data.records, predictions, protocol, seed, micro=micro)
        predictor, top = _read_manifest(source)
        full = sum(len(predictions.get(key, ())) == top for key in report.keys)
        runs.append(Run(system, data.name, report, read_made_by(source), predictor, top, full))
    return runs


def describe_data_sets(folders: Mapping[str, Path], data_sets: Sequence[DataSet], protocol: Protocol) -> list[Section]:
    """Sections of a page: the data sets in numbers, and a case study of the first data set that has a case.

    Args:
        folders: as in `evaluate_systems`.
        data_sets: the data sets.
        protocol: from `get_protocol`. There is no case study if it does not split present from absent.

    Raises:
        UserError: as in `evaluate_systems`.
    """
    records = {data.name: data.records for data in data_sets}
    sections = [
        Section("Sizes of the datasets", rows=dataset_rows(records)),
        Section("Gold keyphrases of the datasets", rows=gold_rows(records, protocol)),
    ]
    for data in data_sets if protocol.split != "none" else ():
        record = choose_case(data.records, protocol)
        if record:
            document = record.document
            predictions = {
                system: _read_data_set(folder, data, data_sets)[1].get((document.lang, document.id), [])
                for system, folder in folders.items()
            }
            text = f"{CASE}\n{' '.join(document.text.split())}"
            title = f"Case study: {document.id} of {data.name}"
            return [*sections, Section(title, text, case_rows(record, predictions, protocol))]
    return sections


def _read_data_set(
    folder: Path, data: DataSet, data_sets: Sequence[DataSet]
) -> tuple[Path, dict[DocumentKey, list[Keyphrase]]]:
    """Read the predictions for one data set. Returns their folder, and the predictions by document."""
    if (folder / data.name).is_dir():
        return folder / data.name, read_predictions(folder / data.name)
    predictions = read_predictions(folder)
    others = {
        key: other.name
        for other in data_sets
        if other is not data and not (folder / other.name).is_dir()
        for key in other.document_keys()
    }
    for lang, id_ in data.document_keys() & others.keys() & predictions.keys():
        raise UserError(
            f"both {data.name} and {others[lang, id_]} contain the id {id_!r} ({lang}), but the folder has one "
            "prediction for it",
            where=str(folder),
            fix=f"put the predictions for each data set into a subfolder: {folder / data.name}",
        )
    return folder, {key: keyphrases for key, keyphrases in predictions.items() if key not in others}


def _read_manifest(folder: Path) -> tuple[str, int | None]:
    """Predictor and maximum number of keyphrases in the manifest of `predict_files`; ("", None) without a manifest."""
    path = folder / STATE_FOLDER / "manifest.json"
    manifest = read_object(path, "run the job of the predictions again") if path.exists() else {}
    return manifest.get("predictor", ""), manifest.get("top")
