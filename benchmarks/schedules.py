"""What wrong pseudo pairs cost the schedules of RGIT: what `python benchmarks/run.py schedules` measures.

Round 1 of Algorithm 1 on a planted corpus mines pairs. Then the retriever of round 2 is trained with each schedule on
all of them, on those with the highest margins, and on the right ones, which only a planted corpus knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kpray.cluster.session import ray_session
from kpray.ramkg.rgit import run_rounds
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import read_answers, read_corpora
from kpray.rgit.job import files_of, models_of, plant_corpus
from kpray.rgit.rounds import RoundSteps

_NEIGHBOURS = 4  # in the margin, as in Artetxe and Schwenk
_KEPT = (0.8, 0.6)  # shares of the mined pairs


def measure(job: RGITSettings) -> list[dict[str, Any]]:
    """Train the retrievers, and count what they find. The same call continues after an interruption.

    Args:
        job: a job on a planted corpus. One round of it is run.

    Returns:
        A row for each set of pseudo pairs: how many there are, how many of them are right, and with each schedule the
        recall@1 on the validation pairs / on the hidden pairs, in percent.
    """
    assert job.plant is not None
    output = Path(job.output).resolve()
    job = plant_corpus(job, job.plant, output / "planted")
    files = files_of(job)
    corpora = read_corpora(files, output)
    answers = read_answers(files, corpora)
    hidden, start = np.array(sorted(answers)), corpora.parts["passages"].start
    english = np.array([answers[row] for row in hidden.tolist()])
    with ray_session(None, output, (job.retriever.backbone, job.generator.backbone)):
        steps = RoundSteps(output / "steps", corpora, models_of(job), job.limits)
        [first] = run_rounds(steps, job.rgit.model_copy(update={"rounds": 1}))
        assert first.mined is not None
        mined, part = first.mined, slice(start, corpora.parts["passages"].stop)
        order = np.argsort(-ratio_margins(mined, first.retriever.found[part], first.retriever.scores[part]))
        right = are_right(mined, answers)
        sets = {
            "none": mined[:0],
            "all": mined,
            **{f"margin, top {share:.0%}": mined[np.sort(order[: int(share * len(mined))])] for share in _KEPT},
            "the right": mined[right],
        }
        rows = []
        for name, pairs in sets.items():
            share = 100 * float(are_right(pairs, answers).mean()) if len(pairs) else None
            row = {"pseudo pairs": name, "number": len(pairs), "right": share}
            for schedule in ("union", "sequential"):
                retriever = steps.train_retriever(pairs, schedule)
                recall = 100 * float((retriever.found[start + hidden, 0] == english).mean())
                row[schedule] = f"{retriever.recall[1]:.1f} / {recall:.1f}"
            rows.append(row)
    return rows


def are_right(pairs: np.ndarray, answers: Mapping[int, int]) -> np.ndarray:
    """Which pairs, int64 [n, 2], are those of the answers: bool [n]."""
    return np.array([answers.get(row) == english for row, english in pairs.tolist()], dtype=bool)


def ratio_margins(pairs: np.ndarray, found: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Ratio margin of pairs (see `kpray.ramkg.bitext.margin_pairs`), from the passages that a retriever found.

    Args:
        pairs: rows of a document and of its first English passage, int64 [n, 2].
        found: rows of the English passages that each document found, best first, int64 [documents, k].
        scores: their inner products, float32 [documents, k].

    Returns:
        float64 [n]. The neighbours of an English passage are the documents that found it.
    """
    of_passage = defaultdict(list)
    for row, score in zip(found.ravel().tolist(), scores.ravel().tolist(), strict=True):
        of_passage[row].append(score)
    documents, english = pairs.T
    forward = scores[documents, :_NEIGHBOURS].mean(axis=1)
    backward = [np.mean(sorted(of_passage[row], reverse=True)[:_NEIGHBOURS]) for row in english.tolist()]
    margins: np.ndarray = 2 * scores[documents, 0] / (forward + np.array(backward))
    return margins
