"""The benchmark of SAMRank: every contestant ranks the documents."""

from __future__ import annotations

import pytest
import torch

from benchmarks.samrank import benchmark
from benchmarks.settings import SAMRankBenchmark
from kpray.document import Document, Record

TEXT = "Lithium dendrites limit the life of anodes. A ceramic layer protects the anode."


def test_every_contestant_ranks_the_documents() -> None:
    threads = torch.get_num_threads()
    title = "Ceramic Layers Against Lithium Dendrites."  # the default rule tags it in small letters, too
    records = [
        Record(Document(str(number), text, lang="en"), ("lithium dendrites", "ceramic layer"))
        for number, text in enumerate([TEXT, f"{title} {TEXT}"])
    ]
    rows = benchmark(SAMRankBenchmark().samrank, records, rounds=1)
    torch.set_num_threads(threads)
    contestants = {str(row["contestant"]): row for row in rows}
    floor = "(d) floor: the layers below the head"
    assert contestants[floor]["of the floor"] == 1.0
    assert contestants["(a) published way, one head"]["times (a)"] == 1.0
    for name, row in contestants.items():
        if "kpray" in name:
            assert float(row["F1@5"] or 0) > 0, name
    published = [contestants[f"{way} one head"]["F1@5"] for way in ("(a) published way,", "(b) kpray,")]
    assert published[0] == pytest.approx(published[1])
