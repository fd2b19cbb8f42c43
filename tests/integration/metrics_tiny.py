"""Sets metrics in a small extraction and prints what Ray exports: `metrics_tiny.py FOLDER MODEL`."""

from __future__ import annotations

import sys
import time
import urllib.request
from pathlib import Path

import ray

from kpray.batch.config import BatchConfig
from kpray.batch.extract import BatchRun, check_manifest, predict_files
from kpray.cluster.meters import COUNTERS, GAUGES, show, show_training
from kpray.cluster.session import ray_session
from kpray.corpus.limits import Reading
from kpray.corpus.sources import find_sources
from kpray.rgit.steps import RGITSteps
from kpray.settings import run_main


def main() -> int:
    folder, model = Path(sys.argv[1]), sys.argv[2]
    records = folder / "records.jsonl"
    records.write_text('{"abstract": "The sparse graph bounds each kernel."}\n{"id": "no text"}\n', encoding="utf-8")
    config = {"model": model, "heads": ["2-1"]}
    run = BatchRun.pinned(folder / "output", "samrank", config, 5, Reading(lang="en"), BatchConfig(actors=1))
    sources = find_sources([str(records)])
    sources = check_manifest(run, sources)
    with ray_session(None, run.output):
        predict_files(run, sources, BatchConfig(actors=1))
        RGITSteps(folder / "steps").do("embed", {}, lambda _: {})
        show_training({"step": 5, "steps": 50, "loss": 1.5, "tokens_per_second": 100.0, "skipped": 0})
        show_training({"step": 5, "score": 0.5})
        show("kpray_rgit_round", 1)
        [node] = ray.nodes()
        url = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
        deadline = time.monotonic() + 200
        text = ""
        while not all(name in text for name in (*COUNTERS, *GAUGES)) and time.monotonic() < deadline:
            time.sleep(2)
            with urllib.request.urlopen(url, timeout=30) as answer:
                text = answer.read().decode()
    print("\n".join(line for line in text.splitlines() if line.startswith("ray_kpray_")))
    return 0


if __name__ == "__main__":
    run_main(main)
