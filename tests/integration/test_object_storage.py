"""The extract job reads from and writes to an S3-compatible server, and resumes after a kill without duplicates."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kpray.storage import ObjectPath, whole_file
from tests.commands import ROOT
from tests.integration.conftest import StartJob
from tests.integration.jobs import MAX_RECORD_BYTES, Corpus
from tests.integration.object_store import object_store

RECORDS = 30  # per chunk; the server needs a few requests for each part of the output


@pytest.mark.slow
def test_extract(
    corpus: Corpus,
    start_job: StartJob,
    model_options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with object_store() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        given, output = ObjectPath("s3://bucket/corpus"), ObjectPath("s3://bucket/keyphrases")
        model = ObjectPath("s3://bucket/model")
        for folder, target in ((corpus.folder, given), (Path(model_options[1]), model)):
            for file in folder.iterdir():
                with whole_file(target / file.name) as unfinished:
                    unfinished.write_bytes(file.read_bytes())
        settings = ["--limits.max-record-bytes", MAX_RECORD_BYTES, "--batch.chunk-records", RECORDS]
        options = ["--samrank.model", model, "--samrank.heads", "2-1", "--input", given, "--output", output]
        command = [ROOT / "jobs/extract.py", *map(str, [*options, *settings])]
        environment = {**variables, "PYTHONPATH": str(ROOT), "KPRAY_CACHE": str(tmp_path)}

        job = start_job(*command, variables=environment)
        job.wait_until(lambda: len(list(output.glob("*.parquet"))) > corpus.parts(RECORDS) // 4)
        job.kill()
        before = {str(part) for part in output.glob("*.parquet")}
        finished = start_job(*command, variables=environment).finish()
        assert finished.code == 0, finished.err
        counts = f"{len(corpus.ids)} documents written to {output}, {len(corpus.rejects)} rejected (_rejects.jsonl)\n"
        assert finished.out == counts

        parts = list(output.glob("*.parquet"))
        assert len(parts) == corpus.parts(RECORDS)
        assert before <= {str(part) for part in parts}
        ids = [row["id"] for part in parts for row in pq.read_table(part.open()).to_pylist()]
        renamed = {name.replace(str(corpus.folder), str(given)) for name in corpus.ids}
        assert sorted(ids) == sorted(renamed)
        rejects = [json.loads(line) for line in (output / "_rejects.jsonl").read_text().splitlines()]
        lines = {(reject["source"].replace(str(given), str(corpus.folder)), reject["line"]) for reject in rejects}
        assert lines == corpus.rejects.keys()
        assert (output / "_config.yaml").is_file()
        assert [folder.name.partition("-")[0] for folder in (tmp_path / "folders").iterdir() if folder.is_dir()] == [
            "model"
        ]
