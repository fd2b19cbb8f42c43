"""The steps of Algorithm 1 on Ray Train and Ray Data. Each runs only once for the same inputs (`step_cache`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kpray.batch.config import BatchConfig
from kpray.cluster.job import writing
from kpray.cluster.meters import show
from kpray.cluster.step_cache import Step
from kpray.corpus.limits import Limits
from kpray.corpus.writing import write_text
from kpray.document import Record
from kpray.log import say
from kpray.metrics.evaluate import gold_phrases
from kpray.metrics.f1 import precision_recall_f1
from kpray.metrics.normalization import unique_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.metrics.retrieval import CUTOFFS, mean_recall
from kpray.pretrained import find_model, load_tokenizer, weights_sha256
from kpray.ramkg.config import GenerateConfig, GeneratorConfig, IndexConfig, RetrieverConfig, RGITConfig
from kpray.ramkg.encoder import open_retriever
from kpray.ramkg.generator_task import GeneratorTask
from kpray.ramkg.retriever_task import RetrieverTask
from kpray.ramkg.rgit import Round, can_qualify, run_rounds, select_pairs
from kpray.rgit import retrieval
from kpray.rgit.corpora import Corpora, record_fields, write_documents
from kpray.rgit.steps import RGITSteps
from kpray.train.config import TrainSettings
from kpray.train.job import train
from kpray.training import OptimConfig, RunConfig, TrainingTask

PROTOCOL = PROTOCOLS["ramkg"]
_NO_WEIGHTS = "give a folder with weights in one safetensors file, or a hub id"
DEPTH = max(CUTOFFS)  # number of retrieved passages: the largest k of recall@k


@dataclass(frozen=True, slots=True)
class Models:
    """Configurations of the models, of their training and of their use."""

    retriever: RetrieverConfig
    index: IndexConfig
    generator: GeneratorConfig
    generate: GenerateConfig
    train_retriever: OptimConfig
    train_generator: OptimConfig
    run: RunConfig
    local: bool
    batch: BatchConfig


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A trained retriever and its results.

    Attributes:
        step: step of the training.
        index: step of the index of the English passages.
        found: rows of English passages for each row of `Corpora.documents`, int64 [documents, DEPTH], -1 for missing
            ones.
        scores: their inner products with the document, float32 [documents, DEPTH].
        recall: k -> recall@k on the validation pairs, in percent.
    """

    step: Step
    index: Step
    found: np.ndarray
    scores: np.ndarray
    recall: Mapping[int, float]


class RoundSteps:
    """The operations that `kpray.ramkg.rgit.run_rounds` needs. Line numbers refer to Algorithm 1.

    Args:
        folder: folder of the steps, as an absolute path that all nodes share. Several runs may share it.
        corpora: the documents.
        models: the configurations.
        limits: maximum sizes of a document.
    """

    def __init__(self, folder: Path, corpora: Corpora, models: Models, limits: Limits) -> None:
        self.steps, self.corpora, self.models, self.limits = RGITSteps(folder), corpora, models, limits

    def train_retriever(self, pseudo: np.ndarray, schedule: str) -> Retrieved:
        """Train a retriever (line 8), and retrieve passages for all documents (lines 11 and 18).

        Args:
            pseudo: pseudo pairs, int64 [n, 2]: row in the part `passages`, and row of the English passage.
            schedule: `union`: train on all pairs at once; otherwise on the pseudo pairs, then on the parallel pairs.
        """
        parallel = self.corpora.records("parallel")
        start = self.corpora.parts["passages"].start
        mined = [self._with_english(start + passage, [english]) for passage, english in pseudo.tolist()]
        config, optim = self.models.retriever, self.models.train_retriever
        if schedule == "union" or not mined:
            return self._retrieve(self._train_retriever(config, [*mined, *parallel], optim))
        first = self._train_retriever(config, mined, optim)
        return self._retrieve(
            self._train_retriever(config.model_copy(update={"backbone": str(first.folder / "best")}), parallel, optim)
        )

    def recall(self, retriever: Retrieved) -> float:
        """Recall@1 on the validation pairs, in [0, 1]."""
        return retriever.recall[1] / 100

    def english_passages(self) -> int:
        """Number of English passages."""
        return len(self.corpora.english)

    def retrieve(self, retriever: Retrieved) -> np.ndarray:
        """First retrieved passage of each document of `passages` (line 18), int64 [passages]."""
        found: np.ndarray = retriever.found[self._rows("passages"), 0]
        return found

    def base_f1(self) -> np.ndarray:
        """F1 of each document of `passages` without retrieval (lines 4 and 21), in percent, float64 [passages]."""
        generator = self.train_generator(None, ("parallel",))
        return self._f1(generator, self._rows("passages"), None)

    def retrieved_f1(self, retriever: Retrieved, rows: np.ndarray) -> np.ndarray:
        """F1 of some documents of `passages` with retrieval (lines 10-14, 19 and 22), in percent, float64 [rows]."""
        return self._f1(self.train_generator(retriever, ("parallel",)), self._rows("passages")[rows], retriever)

    def label_accuracy(self, retriever: Retrieved, tau: float) -> tuple[int, float | None]:
        """Mine the validation pairs as a round mines `passages`, and compare with their English passages (Table 5).

        Args:
            retriever: R_t.
            tau: see `select_pairs`.

        Returns:
            Number of mined validation pairs, and how many of them are correct, in percent; None if none is mined.
        """
        rows = self._rows("valid_pairs")
        base = self._f1(self.train_generator(None, ("parallel",)), rows, None)
        chosen = can_qualify(base, tau)
        if not len(chosen):
            return 0, None
        f1 = self._f1(self.train_generator(retriever, ("parallel",)), rows[chosen], retriever)
        pairs = select_pairs(chosen, retriever.found[rows[chosen], 0], f1, base, tau)
        right = self._valid_english()[pairs[:, 0]] == pairs[:, 1]
        return len(pairs), 100 * float(right.mean()) if len(pairs) else None

    def train_generator(self, retriever: Retrieved | None, names: Sequence[str]) -> Step:
        """Train a generator.

        Args:
            retriever: finds the English passages whose keyphrases the generator reads; None: without retrieval.
            names: parts of the corpora to train on.
        """
        config = self._generator(retriever)
        task = GeneratorTask(config, self.models.generate.model_copy(update={"beams": 1}), self.corpora.english.folder)
        records = [record for name in names for record in self._with_found(name, retriever)]
        step = self._train(
            "generator", task, self.models.train_generator, records, self._with_found("valid", retriever)
        )
        return step

    def predict(self, generator: Step, rows: np.ndarray, retriever: Retrieved | None) -> list[list[tuple[str, float]]]:
        """Generated phrases of documents with their scores, best first.

        Args:
            generator: from `train_generator`.
            rows: rows of `Corpora.documents`, int64 [n].
            retriever: the retriever that the generator was trained with.
        """
        found = retriever.found if retriever else np.empty((len(self.corpora.documents), 0), np.int64)
        step = retrieval.generate(
            self.steps,
            self.corpora.documents,
            self.corpora.english,
            (rows, np.ascontiguousarray(found[rows, : self.models.generator.passages])),
            (generator.folder / "best", generator.outcome["sha256"]),
            self.models.generate,
            self.models.batch,
        )
        phrases = retrieval.read_phrases(step)
        return [phrases[row] for row in rows.tolist()]

    def _rows(self, name: str) -> np.ndarray:
        return np.array(self.corpora.parts[name], dtype=np.int64)

    def _generator(self, retriever: Retrieved | None) -> GeneratorConfig:
        return self.models.generator.model_copy(update={} if retriever else {"passages": 0})

    def _f1(self, generator: Step, rows: np.ndarray, retriever: Retrieved | None) -> np.ndarray:
        predicted = self.predict(generator, rows, retriever)
        records = (self.corpora.documents.record(row) for row in rows.tolist())
        texts = ([text for text, _ in phrases] for phrases in predicted)
        return np.array([document_f1(record, phrases) for record, phrases in zip(records, texts, strict=True)])

    def _with_english(self, row: int, english: Sequence[int]) -> Record:
        """A document with exactly these English passages; rows of -1 are skipped."""
        ids = tuple(self.corpora.english.record(passage).document.id for passage in english if passage >= 0)
        return replace(self.corpora.documents.record(row), english_ids=ids)

    def _with_found(self, name: str, retriever: Retrieved | None) -> list[Record]:
        most = self._generator(retriever).passages
        return [
            self._with_english(row, retriever.found[row, :most].tolist() if retriever else [])
            for row in self.corpora.parts[name]
        ]

    def _train_retriever(self, config: RetrieverConfig, records: Sequence[Record], optim: OptimConfig) -> Step:
        task = RetrieverTask(config, self.corpora.english.folder, optim.batch)
        return self._train("retriever", task, optim, records, self.corpora.records("valid_pairs"))

    def _retrieve(self, trained: Step) -> Retrieved:
        models, retriever = self.models, (trained.folder / "best", trained.outcome["sha256"])
        passages = retrieval.tokenize(self.steps, self.corpora.english, models.retriever, self._tokenizer, "passage")
        vectors = retrieval.embed_passages(self.steps, passages, retriever, models.batch)
        index = retrieval.index_passages(self.steps, vectors, models.index, retriever[1])
        queries = retrieval.tokenize(self.steps, self.corpora.documents, models.retriever, self._tokenizer, "query")
        found, scores = retrieval.read_neighbours(
            retrieval.search(self.steps, index, queries, retriever, DEPTH, models.batch)
        )
        return Retrieved(trained, index, found, scores, self._recall(found[self._rows("valid_pairs")]))

    def _valid_english(self) -> np.ndarray:
        """Row of the English passage of each validation pair, int64 [pairs]."""
        ids = [record.english_ids[0] for record in self.corpora.records("valid_pairs")]
        rows: np.ndarray = self.corpora.english.rows("en", ids)
        return rows

    def _recall(self, found: np.ndarray) -> dict[int, float]:
        recall = mean_recall(found.tolist(), [{row} for row in self._valid_english().tolist()])
        return {k: 100 * share for k, share in recall.items()}

    @cached_property
    def _tokenizer(self) -> str:
        """Checksum of the retriever's tokenizer. Training does not change the tokenizer."""
        backend = load_tokenizer(self.models.retriever.backbone).backend_tokenizer.to_str()
        return hashlib.sha256(backend.encode()).hexdigest()

    def _train(
        self, name: str, task: TrainingTask, optim: OptimConfig, records: Sequence[Record], valid: Sequence[Record]
    ) -> Step:
        """Run a training as a step. Its documents are written into the step's folder."""
        described = task.describe()
        inputs = {
            "task": {**described, "backbone": model_identity(described["backbone"])},
            "optim": optim.model_dump(mode="json"),
            "valid_documents": self.models.run.valid_documents,
            "validate_every": self.models.run.validate_every,
            "local": self.models.local,
            "documents": [_digest(records), _digest(valid)],
        }

        def work(folder: Path) -> dict[str, Any]:
            paths = (folder / "train.jsonl", folder / "valid.jsonl")
            with writing(folder):
                for path, written in zip(paths, (records, valid), strict=True):
                    if not path.exists():  # the training knows them by their modification times too
                        write_documents(written, path)
            job = TrainSettings(
                train=(str(paths[0]),),
                valid=(str(paths[1]),),
                output=str(folder),
                limits=self.limits,
                optim=optim,
                run=self.models.run,
                local=self.models.local,
            )
            state = train(task, job)
            best = folder / "best"
            sha256 = open_retriever(str(best)).sha256 if name == "retriever" else weights_sha256(best, _NO_WEIGHTS)
            return {"step": state.best_step, "score": state.best, "sha256": sha256}

        return self.steps.do(name, inputs, work)


def logged_rounds(steps: RoundSteps, config: RGITConfig, folder: Path) -> Iterator[Round[Retrieved]]:
    """Run the rounds. Each finished round is logged and gets a manifest in the folder."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
    for round_ in run_rounds(steps, config):
        recall = ", ".join(f"@{k} {value:.1f}" for k, value in round_.retriever.recall.items())
        if round_.mined is None:
            mined = "recall did not rise"
        elif len(round_.mined):
            mined = f"{len(round_.mined):,} pairs mined"
        else:
            mined = (
                f"no pair mined, because retrieval added more than {config.tau:g} points of F1 to no passage "
                "(a smaller rgit.tau finds more)"
            )
        say(
            "round",
            f"round {round_.number + 1}: recall {recall}; {mined}",
            round=round_.number + 1,
            recall=dict(round_.retriever.recall),
            pairs=None if round_.mined is None else len(round_.mined),
        )
        show("kpray_rgit_round", round_.number + 1)
        manifest = {
            "retriever": round_.retriever.step.key,
            "recall": dict(round_.retriever.recall),
            "learnt": round_.learnt.tolist(),
            "mined": None if round_.mined is None else round_.mined.tolist(),
        }
        with writing(folder):
            write_text(json.dumps(manifest) + "\n", folder / f"{round_.number:02d}.json")
        yield round_


def document_f1(record: Record, phrases: Sequence[str]) -> float:
    """F1@M of a document with the protocol `ramkg`, in percent."""
    predicted = list(unique_phrases(phrases, record.document.lang, PROTOCOL.normalization))
    return 100 * precision_recall_f1(predicted, set(gold_phrases(record, PROTOCOL)), "M").f1


def model_identity(name: str) -> str:
    """Identify a model: the checksum of its weights for a folder, otherwise the hub id.

    Raises:
        UserError: the folder has no weights in safetensors format.
    """
    folder = Path(find_model(name))
    return weights_sha256(folder, _NO_WEIGHTS) if folder.is_dir() else name


def _digest(records: Iterable[Record]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record_fields(record)).encode() + b"\n")
    return digest.hexdigest()[:16]
