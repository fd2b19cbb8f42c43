"""The documents of an RGIT run. They are read once into stores in the output folder, where all workers find them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kpray.cluster.inputs import identify_options, step_inputs
from kpray.cluster.job import bind_output, writing
from kpray.cluster.step_cache import StepCache
from kpray.corpus.limits import Reading
from kpray.corpus.records import Reject, read_records
from kpray.corpus.store import PassageStore, build_store
from kpray.document import Record
from kpray.errors import UserError
from kpray.log import say
from kpray.rgit.passage_stores import english_store
from kpray.storage import whole_file
from kpray.train.job import balanced_sample

_STEP = "documents"
_HELD_OUT = 10  # without validation pairs, every tenth parallel document is held out


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The input files of a run, and how they are read. Each attribute is an option of the job.

    Attributes:
        parallel: documents with a known English passage.
        passages: documents whose English passage is unknown or does not exist.
        english: English documents.
        valid: documents for the validation of generators; empty: those of `valid_pairs`.
        valid_pairs: more documents like `parallel`, for the validation of retrievers; empty: those of `valid` with
            `english_ids`, and if there are none, every tenth of `parallel`, which is held out.
        test: documents to predict and report on.
        answers: records that name the English passages of documents of `passages`.
        reading: how records are read.
        parallel_documents: maximum number of documents of `parallel` to train on; None: all.
    """

    parallel: Sequence[str]
    passages: Sequence[str]
    english: Sequence[str]
    valid: Sequence[str]
    valid_pairs: Sequence[str]
    test: Sequence[str]
    answers: Sequence[str]
    reading: Reading
    parallel_documents: int | None = None

    def documents(self) -> dict[str, Sequence[str]]:
        """Name of a part of `Corpora.documents` -> its files. Parts without files are left out."""
        parts = {
            "parallel": self.parallel,
            "passages": self.passages,
            "valid_pairs": self.valid_pairs,
            "valid": self.valid,
            "test": self.test,
        }
        return {name: paths for name, paths in parts.items() if paths}


@dataclass(frozen=True, slots=True)
class Corpora:
    """The documents of a run.

    Attributes:
        english: the English documents (D_LS).
        documents: all other documents, in one store, so that duplicate ids are found across the parts.
        parts: name of a part -> its rows in `documents`. `parallel`: D_PAR, with English passages in `english_ids`.
            `passages`: D_NP. `valid_pairs`: documents with known English passages, to measure retrieval and to select
            retrievers. `valid`: documents to select generators; some or all may also be in `valid_pairs`. `test`:
            documents to report on; missing if there are none.
    """

    english: PassageStore
    documents: PassageStore
    parts: Mapping[str, range]

    def records(self, name: str) -> list[Record]:
        """Documents of a part."""
        return [self.documents.record(row) for row in self.parts[name]]


def read_corpora(files: CorpusFiles, output: Path) -> Corpora:
    """Read all documents into stores in the output folder, or open the stores of an earlier run.

    Raises:
        UserError: a file cannot be read, has no usable document, or differs from the earlier run.
    """
    options = {**files.documents(), "english": files.english}
    inputs = identify_options(options, follow_links=files.reading.follow_links)
    values = {"parallel_documents": files.parallel_documents, **files.reading.model_dump(mode="json")}
    bind_output(output, values, any(output.glob(f"{_STEP}-*/finished.json")), inputs)
    english = PassageStore(english_store(files.english, output, files.reading))

    def work(folder: Path) -> dict[str, Any]:
        records, parts = _sort_documents(files, english)
        with writing(folder):
            write_documents(records, folder / "documents.jsonl")
            if not (folder / "store").exists():  # an earlier run may have been killed just after this
                build_store([str(folder / "documents.jsonl")], folder / "store", Reading(limits=files.reading.limits))
        return {"parts": {name: [rows.start, rows.stop] for name, rows in parts.items()}}

    step = StepCache(output).do(_STEP, {"files": step_inputs(inputs), **values}, work)
    parts = {name: range(*bounds) for name, bounds in step.outcome["parts"].items()}
    return Corpora(english, PassageStore(step.folder / "store"), parts)


def _sort_documents(files: CorpusFiles, english: PassageStore) -> tuple[list[Record], dict[str, range]]:
    """Read the documents and divide them into parts. Documents without gold or without English passage are left out."""
    found = {name: _read(paths, _option(name), files) for name, paths in files.documents().items()}
    for name in ("parallel", "valid_pairs"):
        if name in found:
            found[name] = _with_english(found[name], english, _option(name))
    found["passages"] = [replace(record, english_ids=()) for record in found["passages"]]
    _add_validation(found, english)
    if files.parallel_documents:
        found["parallel"] = balanced_sample(found["parallel"], files.parallel_documents)
    records: list[Record] = []
    parts: dict[str, range] = {}
    seen: dict[tuple[str, str], Record] = {}
    for name, members in found.items():
        for record in members:
            key = _key(record)
            if key in seen:
                raise UserError(
                    f"duplicate document {key[1]!r} ({key[0]}), first seen in {seen[key].source}:{seen[key].line}",
                    where=f"{record.source}:{record.line}",
                    fix="make ids unique per language, across --parallel, --passages, --valid and --test",
                )
            seen[key] = record
        parts[name] = range(len(records), len(records) + len(members))
        records += members
    both = parts.pop("both")
    parts["valid_pairs"] = range(parts["valid_pairs"].start, both.stop)
    parts["valid"] = range(both.start, parts["valid"].stop)
    return records, parts


def _add_validation(found: dict[str, list[Record]], english: PassageStore) -> None:
    """Choose the validation documents: divide them into `valid_pairs`, `both` and `valid`, in this order in `found`.

    Raises:
        UserError: a document would have to be held out, but there is only one.
    """
    valid = found.pop("valid", None)
    pairs = found.pop("valid_pairs", None)
    if pairs is None and valid:
        known = [record for record in valid if record.english_ids]
        rows = english.rows("en", [record.english_ids[0] for record in known]).tolist()
        pairs = [record for record, row in zip(known, rows, strict=True) if row >= 0]
    if not pairs:
        pairs = found["parallel"][::_HELD_OUT]
        found["parallel"] = [record for index, record in enumerate(found["parallel"]) if index % _HELD_OUT]
        if not found["parallel"]:
            raise UserError("one document is too few, as it is held out", where="--parallel", fix="give --valid-pairs")
        if valid:
            say(
                "held_out",
                f"no document of --valid names its English passage: {len(pairs):,} documents of --parallel are held "
                "out to validate retrievers (or give --valid-pairs)",
                documents=len(pairs),
            )
    selecting = None if valid is None else {_key(record) for record in valid}
    pair_keys = {_key(record) for record in pairs}
    found["valid_pairs"] = [record for record in pairs if selecting is not None and _key(record) not in selecting]
    found["both"] = [record for record in pairs if selecting is None or _key(record) in selecting]
    found["valid"] = []
    for record in valid or ():
        if _key(record) in pair_keys:
            pair_keys.remove(_key(record))  # a second document with this id is a duplicate
        else:
            found["valid"].append(record)


def _key(record: Record) -> tuple[str, str]:
    return record.document.lang, record.document.id


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read(paths: Sequence[str], where: str, files: CorpusFiles) -> list[Record]:
    """Read the documents that have keyphrases. The number of others is logged."""
    records: list[Record] = []
    rejects = without_gold = 0
    for record in read_records(paths, files.reading):
        if isinstance(record, Reject):
            rejects += 1
        elif not record.keyphrases:
            without_gold += 1
        else:
            records.append(record)
    if rejects or without_gold:
        say(
            "left_out",
            f"{where}: skipped {rejects:,} unreadable records and {without_gold:,} without keyphrases",
            rejected=rejects,
            without_keyphrases=without_gold,
        )
    if not records:
        raise UserError("no document has keyphrases", where=where, fix="give files with the field keyphrases")
    return records


def _with_english(records: list[Record], english: PassageStore, where: str) -> list[Record]:
    ids = [record.english_ids[0] if record.english_ids else record.document.id for record in records]
    kept = [
        replace(record, english_ids=(id,))
        for record, id, row in zip(records, ids, english.rows("en", ids).tolist(), strict=True)
        if row >= 0
    ]
    if not kept:
        raise UserError(
            f"none of the {len(records):,} documents has its English passage in --english (the first needs {ids[0]!r})",
            where=where,
            fix="give the passage's id in the field english_ids",
        )
    if len(kept) < len(records):
        skipped = len(records) - len(kept)
        say("left_out", f"{where}: skipped {skipped:,} documents without English passage", without_english=skipped)
    return kept


def read_answers(files: CorpusFiles, corpora: Corpora) -> dict[int, int]:
    """Read `files.answers`: row of a passage in its part -> row of its English passage in `corpora.english`."""
    if not files.answers:
        return {}
    english_ids = {}
    for record in read_records(files.answers, files.reading):
        if isinstance(record, Record) and record.english_ids:
            english_ids[_key(record)] = record.english_ids[0]
    start = corpora.parts["passages"].start
    answers: dict[int, int] = {}
    for record in corpora.records("passages"):
        key = _key(record)
        if key in english_ids:
            row = int(corpora.documents.rows(key[0], [key[1]])[0]) - start
            answers[row] = int(corpora.english.rows("en", [english_ids[key]])[0])
    return answers


def write_documents(records: Iterable[Record], path: Path) -> None:
    """Write records as JSON lines that `read_records` can read."""
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record_fields(record), ensure_ascii=False) + "\n")


def record_fields(record: Record) -> dict[str, Any]:
    """A record as JSON values that `read_records` can read."""
    document = record.document
    return {
        "id": document.id,
        "lang": document.lang,
        "title": document.title,
        "abstract": document.body,
        "keyphrases": list(record.keyphrases),
        "english_ids": list(record.english_ids),
    }
