"""TextRank (Mihalcea and Tarau, EMNLP 2004): neighbouring words vote for each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from kpray.document import Document, Keyphrase
from kpray.predictor import PREDICTOR_FILE, Explanation, Predictor, saved_folder
from kpray.predictor_config import PredictorConfig
from kpray.text.candidates import find_candidates
from kpray.text.tagging import load_tagger


class TextRankConfig(PredictorConfig):
    """TextRank's two numbers."""

    window: Annotated[int, Field(ge=2)] = 2
    """Words at most this far apart are neighbours."""
    damping: Annotated[float, Field(gt=0, lt=1)] = 0.85
    """d of Eq. 1."""


class TextRank(Predictor[tuple[list[str], np.ndarray]]):
    """Phrases by the PageRank of their words."""

    kind: ClassVar[str] = "textrank"

    def __init__(self, config: TextRankConfig) -> None:
        self.config, self.tagger = config, load_tagger("auto")

    def prepare(self, document: Document) -> tuple[list[str], np.ndarray]:
        words, candidates = find_candidates(document.text, document.lang, "paper", self.tagger)
        return [word.lower() for word in words.texts], candidates

    def tokens(self, prepared: tuple[list[str], np.ndarray]) -> int:
        return len(prepared[0])

    def predict_prepared(self, prepared: Sequence[tuple[list[str], np.ndarray]], top: int) -> list[Explanation]:
        return [self._rank(words, candidates, top) for words, candidates in prepared]

    def _rank(self, words: list[str], candidates: np.ndarray, top: int) -> Explanation:
        names, ids = np.unique(words or [""], return_inverse=True)
        votes = np.zeros((len(names), len(names)))
        for apart in range(1, self.config.window):
            np.add.at(votes, (ids[apart:], ids[:-apart]), 1)
            np.add.at(votes, (ids[:-apart], ids[apart:]), 1)
        votes /= np.maximum(votes.sum(axis=0), 1)
        rank = np.linalg.solve(np.eye(len(names)) - self.config.damping * votes, np.ones(len(names)))
        phrases = {" ".join(words[start:end]): float(rank[ids[start:end]].sum()) for start, end in candidates.tolist()}
        best = sorted(phrases.items(), key=lambda each: -each[1])[:top]
        found = [Keyphrase(text, score, present=True) for text, score in best]
        return Explanation(found, np.zeros((0, 2), np.int32), np.zeros(0))

    def describe(self) -> dict[str, Any]:
        return {"predictor": self.kind, "tagger": self.tagger.name, "config": self.config.model_dump(mode="json")}

    def save(self, folder: str | Path) -> None:
        folder = saved_folder(folder)
        (folder / PREDICTOR_FILE).write_text(json.dumps({"kind": self.kind, "config": self.config.model_dump()}))
