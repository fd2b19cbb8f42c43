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
from sklearn.metrics import roc_auc_score

from kpray.cluster.session import ray_session
from kpray.ramkg.rgit import Round, can_qualify, run_rounds
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import read_answers, read_corpora
from kpray.rgit.job import files_of, models_of, plant_corpus
from kpray.rgit.rounds import Retrieved, RoundSteps

_NEIGHBOURS = 4  # in the margin, as in Artetxe and Schwenk
_KEPT = (0.8, 0.6)  # shares of the mined pairs


def measure(job: RGITSettings) -> dict[str, list[dict[str, Any]]]:
    """Train the retrievers, and count what they find. The same call continues after an interruption.

    Args:
        job: a job on a planted corpus. One round of it is run.

    Returns:
        Two tables. For each set of pseudo pairs: how many there are, how many of them are right, and with each schedule
        the recall@1 on the validation pairs / on the hidden pairs, in percent. For each number that is known of a mined
        pair: how well it tells right pairs from wrong ones, which must both be there.
    """
    assert job.plant is not None
    output = Path(job.output).resolve()
    job = plant_corpus(job, job.plant, output / "planted")
    files = files_of(job)
    corpora = read_corpora(files, output)
    answers = read_answers(files, corpora)
    with ray_session(None, output, (job.retriever.backbone, job.generator.backbone)):
        steps = RoundSteps(output / "steps", corpora, models_of(job), job.limits)
        [first] = run_rounds(steps, job.rgit.model_copy(update={"rounds": 1}))
        assert first.mined is not None
        known, right = _known_of_pairs(first, steps, job.rgit.tau), are_right(first.mined, answers)
        sets = {"none": first.mined[:0], "all": first.mined}
        for share in _KEPT:
            best = np.argsort(-known["ratio margin"])[: int(share * len(first.mined))]
            sets[f"margin, top {share:.0%}"] = first.mined[np.sort(best)]
        sets["the right"] = first.mined[right]
        rows = [_recalls(name, pairs, steps, answers) for name, pairs in sets.items()]
    curves = [{"known of a pair": name, "area": roc_auc_score(right, values)} for name, values in known.items()]
    return {
        "Retrievers of round 2: recall@1 in percent of the validation / the hidden pairs": rows,
        "Area under the ROC curve of right pairs among the mined ones": curves,
    }


def _known_of_pairs(first: Round[Retrieved], steps: RoundSteps, tau: float) -> dict[str, np.ndarray]:
    """Numbers by which the mined pairs could be filtered: name -> float64 [pairs]."""
    assert first.mined is not None
    part = steps.corpora.parts["passages"]
    found, scores = (values[part.start : part.stop] for values in (first.retriever.found, first.retriever.scores))
    rows, base = first.mined[:, 0], steps.base_f1()
    qualified = can_qualify(base, tau)  # those that the round evaluated, so that nothing is generated again
    f1 = steps.retrieved_f1(first.retriever, qualified)
    return {
        "ratio margin": ratio_margins(first.mined, found, scores),
        "distance to the second passage": scores[rows, 0] - scores[rows, 1],
        "score": scores[rows, 0],
        "gain in F1": f1[np.searchsorted(qualified, rows)] - base[rows],
    }


def _recalls(name: str, pairs: np.ndarray, steps: RoundSteps, answers: Mapping[int, int]) -> dict[str, Any]:
    hidden, start = np.array(sorted(answers)), steps.corpora.parts["passages"].start
    english = np.array([answers[row] for row in hidden.tolist()])
    share = 100 * float(are_right(pairs, answers).mean()) if len(pairs) else None
    row = {"pseudo pairs": name, "number": len(pairs), "right": share}
    for schedule in ("union", "sequential"):
        retriever = steps.train_retriever(pairs, schedule)
        recall = 100 * float((retriever.found[start + hidden, 0] == english).mean())
        row[schedule] = f"{retriever.recall[1]:.1f} / {recall:.1f}"
    return row


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
