"""Predicts in two stages on a local Ray: `two_stages.py INPUT OUTPUT MODEL [GPUS]`.

Without GPUS, a process runs the model on the CPU, for two workers. It dies at a document of one word, poison.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ray.data import ActorPoolStrategy

from kpray.batch.chunks import process_chunks
from kpray.batch.config import BatchConfig
from kpray.batch.deaths import MOST_DEATHS, RECORD_DEATHS, WHOLE
from kpray.batch.extract import BatchRun, _PredictChunk, check_manifest, predict_files
from kpray.batch.stages import ModelProcess, model_processes
from kpray.cluster.session import ray_session
from kpray.corpus.limits import Reading
from kpray.corpus.sources import Source, find_sources
from kpray.pretrained import load_backend_tokenizer

TOP, CHUNK = 7, 9
POISON = 40  # index of the record


class Deadly(ModelProcess):
    """Dies at the poison."""

    def __init__(self, predictor: str, config: Any) -> None:
        super().__init__(predictor, config)
        serve, poison = self._serve, load_backend_tokenizer(config["model"]).encode("poison").ids

        def serve_or_die(method: str, *arguments: Any, **options: Any) -> Any:
            if method == "head_scores":
                ids, lengths = arguments[:2]
                if any(each.tolist() == poison for each in np.split(ids, np.cumsum(lengths)[:-1])):
                    os.kill(os.getpid(), signal.SIGKILL)
            return serve(method, *arguments, **options)

        self._serve = serve_or_die


def run_of(output: Path, model: str) -> BatchRun:
    config = {"model": model} if "MiniLM" in model else {"model": model, "heads": ["2-1", "3-3"]}
    return BatchRun.pinned(output, "samrank", config, TOP, Reading(lang="en"), BatchConfig(chunk_records=CHUNK))


def _leave_notes(run: BatchRun, source: Source) -> None:
    """As if all deaths at the poison but the last had happened before, which saves the time that they take."""
    folder = run.state / "deaths"
    folder.mkdir(exist_ok=True)
    path = folder / f"{run.part(source)}-{POISON // CHUNK:06d}"
    path.write_text(" ".join([*[WHOLE] * MOST_DEATHS, *[str(POISON % CHUNK)] * (RECORD_DEATHS - 1)]), encoding="utf-8")


def main() -> None:
    path, output, model, *gpus = sys.argv[1:]
    run = run_of(Path(output), model)
    sources = check_manifest(run, find_sources([path]))
    with ray_session(None):
        if gpus:
            counts = predict_files(run, sources, BatchConfig(chunk_records=CHUNK))
        else:
            with model_processes("samrank", run.config, 1, gpus=0, process=Deadly) as processes:
                placement = {"compute": ActorPoolStrategy(size=2), "num_cpus": 0.9}
                _leave_notes(run, sources[0])
                staged = replace(run, processes=processes)
                counts = process_chunks(staged, sources, sources[0].bytes, _PredictChunk, placement)
    print(counts.written, counts.rejected)


if __name__ == "__main__":
    main()
