"""The documents of an RGIT run: read once into stores in its output folder, where every worker finds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kpray.cluster.job import bind_output, writing
from kpray.cluster.step_cache import StepCache
from kpray.corpus.limits import Limits
from kpray.corpus.records import Reject, read_records
from kpray.corpus.sources import find_sources
from kpray.corpus.store import PassageStore, build_store
from kpray.document import Record
from kpray.errors import UserError
from kpray.log import say
from kpray.rgit.passage_stores import english_store
from kpray.storage import whole_file

_STEP = "documents"
_HELD_OUT = 10  # without --valid every tenth parallel document is held out


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of a run, and how they are read; each name is an option of the job.

    Attributes:
        parallel: documents whose English passage is known.
        passages: documents whose English passage, if there is one, is not known.
        english: English documents.
        valid: like `parallel`, to choose models by; none: every tenth of `parallel` is held out.
        test: documents to predict and report on.
        answers: records that name the English passage of documents of `passages`.
        lang: language of records that name none.
        limits: sizes beyond which a record is rejected.
    """

    parallel: Sequence[str]
    passages: Sequence[str]
    english: Sequence[str]
    valid: Sequence[str]
    test: Sequence[str]
    answers: Sequence[str]
    lang: str
    limits: Limits

    def documents(self) -> dict[str, Sequence[str]]:
        """Name of a part of `Corpora.documents` -> its files, where there are some."""
        paths = {"parallel": self.parallel, "passages": self.passages, "valid": self.valid, "test": self.test}
        return {name: own for name, own in paths.items() if own}


@dataclass(frozen=True, slots=True)
class Corpora:
    """The documents of a run.

    Attributes:
        english: D_LS.
        documents: all others in one store, so that an id which stands in two of its parts is found.
        parts: name of a part -> its rows: `parallel` (D_PAR, with its English passages as `english_ids`), `passages`
            (D_NP), `valid` (whose English passages are known too: retrieval is measured, and models are chosen, on
            these), and `test` where there are documents to report on.
    """

    english: PassageStore
    documents: PassageStore
    parts: Mapping[str, range]

    def records(self, name: str) -> list[Record]:
        """The documents of a part."""
        return [self.documents.record(row) for row in self.parts[name]]


def read_corpora(files: CorpusFiles, output: Path) -> Corpora:
    """Read every document into stores in an output folder, or open those of an earlier run.

    Raises:
        UserError: a file cannot be read, has nothing of use, or is another than that of the earlier run.
    """
    paths = {**files.documents(), "english": files.english}
    values = {
        **{name: [[source.path, source.bytes] for source in find_sources(own)] for name, own in paths.items()},
        "lang": files.lang,
        "limits": files.limits.model_dump(),
    }
    bind_output(output, values, begun=any(output.glob(f"{_STEP}-*/finished.json")))
    english = PassageStore(english_store(files.english, output, files.limits))

    def work(folder: Path) -> dict[str, Any]:
        records, parts = _sort_documents(files, english)
        with writing(folder):
            write_documents(records, folder / "documents.jsonl")
            if not (folder / "store").exists():  # it is whole where a run was killed right after it
                build_store([str(folder / "documents.jsonl")], folder / "store", limits=files.limits)
        return {"parts": {name: [own.start, own.stop] for name, own in parts.items()}}

    step = StepCache(output).do(_STEP, values, work)
    parts = {name: range(*own) for name, own in step.outcome["parts"].items()}
    return Corpora(english, PassageStore(step.folder / "store"), parts)


def _sort_documents(files: CorpusFiles, english: PassageStore) -> tuple[list[Record], dict[str, range]]:
    """The documents of each part, without those that have no gold or whose English passage is not there."""
    found = {name: _read(own, f"--{name}", files) for name, own in files.documents().items()}
    for name in ("parallel", "valid"):
        if name in found:
            found[name] = _with_english(found[name], english, f"--{name}")
    found["passages"] = [replace(record, english_ids=()) for record in found["passages"]]
    if "valid" not in found:
        found["valid"] = found["parallel"][::_HELD_OUT]
        found["parallel"] = [record for place, record in enumerate(found["parallel"]) if place % _HELD_OUT]
        if not found["parallel"]:
            raise UserError("one parallel document is too few to hold one out", where="--parallel", fix="give --valid")
    records: list[Record] = []
    parts: dict[str, range] = {}
    places: dict[tuple[str, str], Record] = {}
    for name, own in found.items():
        for record in own:
            key = (record.document.lang, record.document.id)
            if key in places:
                raise UserError(
                    f"document {key[1]!r} ({key[0]}) is there already: {places[key].source}:{places[key].line}",
                    where=f"{record.source}:{record.line}",
                    fix="an id stands once in its language, over all of --parallel, --passages, --valid and --test",
                )
            places[key] = record
        parts[name] = range(len(records), len(records) + len(own))
        records += own
    return records, parts


def _read(paths: Sequence[str], where: str, files: CorpusFiles) -> list[Record]:
    """Documents with gold; the others are counted on standard error."""
    records: list[Record] = []
    rejects = without_gold = 0
    for record in read_records(paths, files.lang, files.limits):
        if isinstance(record, Reject):
            rejects += 1
        elif not record.keyphrases:
            without_gold += 1
        else:
            records.append(record)
    if rejects or without_gold:
        say(
            "left_out",
            f"{where}: left out {rejects:,} records that cannot be read, {without_gold:,} without keyphrases",
            rejected=rejects,
            without_keyphrases=without_gold,
        )
    if not records:
        raise UserError("there is no document with keyphrases", where=where, fix="give other files")
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
            f"none of {len(records):,} documents has its English passage in --english, the first none of id {ids[0]!r}",
            where=where,
            fix="name it in the field english_ids",
        )
    if len(kept) < len(records):
        left_out = len(records) - len(kept)
        say("left_out", f"{where}: left out {left_out:,} documents without English passage", without_english=left_out)
    return kept


def read_answers(files: CorpusFiles, corpora: Corpora) -> dict[int, int]:
    """Passage -> English passage that belongs to it, rows, where `files.answers` tells."""
    if not files.answers:
        return {}
    told = {}
    for record in read_records(files.answers, files.lang, files.limits):
        if isinstance(record, Record) and record.english_ids:
            told[record.document.lang, record.document.id] = record.english_ids[0]
    start = corpora.parts["passages"].start
    answers: dict[int, int] = {}
    for record in corpora.records("passages"):
        key = (record.document.lang, record.document.id)
        if key in told:
            row = int(corpora.documents.rows(key[0], [key[1]])[0]) - start
            answers[row] = int(corpora.english.rows("en", [told[key]])[0])
    return answers


def write_documents(records: Iterable[Record], path: Path) -> None:
    """Write records as JSON lines that `read_records` reads back."""
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record_fields(record), ensure_ascii=False) + "\n")


def record_fields(record: Record) -> dict[str, Any]:
    """A record as JSON values that `read_records` reads back."""
    document = record.document
    return {
        "id": document.id,
        "lang": document.lang,
        "title": document.title,
        "abstract": document.body,
        "keyphrases": list(record.keyphrases),
        "english_ids": list(record.english_ids),
    }
