"""Configuration of the retriever, its index, the generator and the rounds of RGIT; the defaults are the paper's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from kpray.errors import UserError
from kpray.predictor_config import TrainedConfig, TrainedOptions
from kpray.pretrained import Backbone, weights_sha256
from kpray.settings import Settings
from kpray.training import OptimConfig, RunConfig

# Subfolders of a saved RAMKG. A generator without retrieval is also a RAMKG, without subfolders.
GENERATOR, RETRIEVER, INDEX, ENGLISH = "generator", "retriever", "index", "english"
GENERATOR_FILE = "generator.json"


class RetrieverConfig(Settings):
    """The shared encoder of queries and passages, and its training data (Sec. 4.1)."""

    backbone: Backbone = "google-bert/bert-base-multilingual-cased"
    """Folder or hub id of the pretrained transformers encoder."""
    pooling: Literal["cls", "mean"] = "cls"
    """Vector of a text: the vector of the first token (`cls`), or the mean over all tokens."""
    marks: tuple[str, str] | None = ("[unused1]", "[unused2]")
    """Tokens before the title and before the body. If null, there are none."""
    passage_tokens: Annotated[int, Field(ge=8)] = 512
    """Maximum number of tokens in a text. Longer texts are truncated."""
    target: Literal["P2P", "P2K", "P2PK"] = "P2P"
    """Part of an English document to retrieve: the passage (P2P), its keyphrases (P2K), or both (P2PK; App. A.2, Table
    6)."""
    negatives: Annotated[int, Field(ge=0)] = 100
    """Minimum number of random English passages in a step, which are negatives for all its pairs. Each pair adds an
    equal number of them."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed for sampling negatives."""
    valid_passages: Annotated[int, Field(ge=1)] = 10_000
    """Maximum number of English passages that validation searches, in addition to those of its documents."""


RETRIEVER_OPTIM = OptimConfig(lr=2e-5, epochs=15, batch=32)  # App. A.1
EPOCHS_RUN = RunConfig(validate_every="epoch")  # these trainings may have few steps


class IndexConfig(Settings):
    """The index of English passages."""

    kind: Literal["exact", "ivfpq"] = "exact"
    """Kind of index: exact inner products, or an approximation for tens of millions of passages (`ivfpq`), whose recall
    is measured."""
    storage: Literal["float16", "float32"] = "float16"
    """Floating-point format of the vectors in an exact index."""
    lists: Annotated[int, Field(ge=1)] = 1024
    """Number of cells in an `ivfpq` index."""
    probes: Annotated[int, Field(ge=1)] = 32
    """Number of cells that a search in an `ivfpq` index visits."""
    codes: Annotated[int, Field(ge=1)] = 64
    """Number of bytes per vector in an `ivfpq` index. It must divide the dimension of the vectors."""


class BitextConfig(Settings):
    """Retrieval of translation pairs (Artetxe & Schwenk, ACL 2019)."""

    model: str = "sentence-transformers/LaBSE"
    """Folder or hub id of a sentence-transformers model."""
    neighbors: Annotated[int, Field(ge=1)] = 4
    """Number of nearest neighbours in the margin, k."""
    margin: Annotated[float, Field(gt=0)] = 1.03
    """Minimum ratio margin of a pair."""


class GeneratorConfig(Settings):
    """The sequence-to-sequence model and its code-mixed input (Sec. 4.2)."""

    backbone: Backbone = "facebook/mbart-large-cc25"
    """Folder or hub id of the pretrained transformers sequence-to-sequence model."""
    passages: Annotated[int, Field(ge=0)] = 1
    """Number of retrieved English passages whose keyphrases the input includes, m. 0 means no retrieval."""
    source_tokens: Annotated[int, Field(ge=16)] = 512
    """Maximum number of tokens in the input."""
    keyphrase_tokens: Annotated[int, Field(ge=1)] = 64
    """Number of input tokens that are reserved for English keyphrases. They can also use what the passage leaves
    free."""
    target_tokens: Annotated[int, Field(ge=4)] = 128
    """Maximum number of tokens in the keyphrases, in training and in generation."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing of the training loss. The paper has none."""

    @model_validator(mode="after")
    def _passage_has_room(self) -> Self:
        if self.passages and 2 * self.keyphrase_tokens > self.source_tokens:
            raise ValueError("keyphrase_tokens must be at most half of source_tokens")
        return self


GENERATOR_OPTIM = OptimConfig(lr=1e-4, epochs=10, batch=8, warmup=50)  # App. A.1


class GenerateConfig(Settings):
    """Beam search."""

    beams: Annotated[int, Field(ge=1)] = 5
    """Number of beams. Hypotheses are ranked by the mean log-probability of their tokens."""


class RGITConfig(Settings):
    """Rounds of retriever-generator iterative training (Sec. 4.3, Algorithm 1)."""

    rounds: Annotated[int, Field(ge=0)] = 3
    """Maximum number of rounds, T. 0 trains RAMKG without RGIT."""
    tau: Annotated[float, Field(ge=0, lt=100)] = 5.0
    """F1 gain, in percentage points, that a pair's retrieved keyphrases must bring for the pair to be accepted."""
    schedule: Literal["union", "sequential"] = "union"
    """Training data of each round's retriever: pseudo and parallel pairs together (`union`, as in the paper), or first
    pseudo and then parallel pairs (`sequential`, as in its code)."""
    mining: Literal["gain", "random"] = "gain"
    """Choice of pseudo pairs: those that improve generation (`gain`, Algorithm 1), or, as a control, an equal number of
    random pairs."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of `mining: random`."""
    patience: Annotated[int, Field(ge=1)] = 1
    """Stop after this number of rounds without better retrieval recall on the validation pairs."""


class RAMKGOptions(TrainedOptions):
    """Options of a saved RAMKG."""

    generate: GenerateConfig = GenerateConfig()


class RAMKGConfig(RAMKGOptions, TrainedConfig):
    """A saved RAMKG and its options."""

    @property
    def generator_folder(self) -> Path:
        """Folder of the generator: a subfolder, or the folder itself if it is that of a generator without retrieval.

        Raises:
            UserError: the folder is that of a generator with retrieval, or the file in it is damaged.
        """
        saved = self.folder / GENERATOR_FILE
        if not saved.is_file():
            return self.folder / GENERATOR
        try:
            passages = int(json.loads(saved.read_text(encoding="utf-8"))["passages"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError("not the file of a generator", where=str(saved), fix="copy the folder again") from error
        if passages:
            raise UserError(
                f"this generator reads the keyphrases of retrieved passages (task.passages {passages}), and has no "
                "retriever",
                where=self.model,
                fix="train both with `kpray rgit`, or a generator without retrieval with --task.passages 0",
            )
        return self.folder

    @override
    def weights_sha256(self) -> str:
        """First 16 digits of the SHA-256 of the generator's and, if there is one, the retriever's weights."""
        digest = hashlib.sha256()
        retriever = self.folder / RETRIEVER
        for folder in (self.generator_folder, *([retriever] if retriever.exists() else [])):
            digest.update(bytes.fromhex(weights_sha256(folder, fix="give a folder that RGIT wrote")))
        return digest.hexdigest()[:16]
