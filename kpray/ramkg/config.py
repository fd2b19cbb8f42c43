"""Configuration of the retriever, its index, the generator and the rounds of RGIT; the defaults are the paper's."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from kpray.predictor_config import TrainedConfig, TrainedOptions
from kpray.pretrained import Backbone, weights_sha256
from kpray.settings import Settings
from kpray.training import OptimConfig

# Subfolders of a saved RAMKG.
GENERATOR, RETRIEVER, INDEX, ENGLISH = "generator", "retriever", "index", "english"


class RetrieverConfig(Settings):
    """The shared encoder of passages and queries (Sec. 4.1), and what it is trained with."""

    backbone: Backbone = "google-bert/bert-base-multilingual-cased"
    """A transformers encoder to start from: folder or hub id."""
    pooling: Literal["cls", "mean"] = "cls"
    """A text's vector: the first token's, or the mean of all tokens'."""
    marks: tuple[str, str] | None = ("[unused1]", "[unused2]")
    """Tokens before the title and before the rest; null: none."""
    passage_tokens: Annotated[int, Field(ge=8)] = 512
    """Most tokens of a text; the tail of a longer one is cut."""
    target: Literal["P2P", "P2K", "P2PK"] = "P2P"
    """What of an English document is retrieved: the passage, its keyphrases, or both (App. A.2, Table 6)."""
    negatives: Annotated[int, Field(ge=0)] = 4
    """Random English passages that each pair brings as negatives, for all pairs of its step."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed for sampling negatives."""
    valid_passages: Annotated[int, Field(ge=1)] = 10_000
    """Most English passages that validation searches, beside those that belong to its documents."""


RETRIEVER_OPTIM = OptimConfig(lr=2e-5, epochs=15, batch=32)  # App. A.1


class IndexConfig(Settings):
    """The index of English passages."""

    kind: Literal["exact", "ivfpq"] = "exact"
    """Exact inner products, or an approximation whose recall is measured (for tens of millions of passages)."""
    storage: Literal["float16", "float32"] = "float16"
    """Of the vectors of an exact index."""
    lists: Annotated[int, Field(ge=1)] = 1024
    """Cells of `ivfpq`."""
    probes: Annotated[int, Field(ge=1)] = 32
    """Cells of `ivfpq` that a search looks into."""
    codes: Annotated[int, Field(ge=1)] = 64
    """Bytes of a vector in `ivfpq`; they divide the vector's size."""


class BitextConfig(Settings):
    """Mining of seed pairs (Artetxe & Schwenk, ACL 2019)."""

    model: str = "sentence-transformers/LaBSE"
    """A sentence-transformers model: folder or hub id."""
    neighbors: Annotated[int, Field(ge=1)] = 4
    """k of the margin."""
    margin: Annotated[float, Field(gt=0)] = 1.03
    """Least ratio margin of a pair."""


class GeneratorConfig(Settings):
    """The sequence-to-sequence model and its code-mixed input (Sec. 4.2)."""

    backbone: Backbone = "facebook/mbart-large-cc25"
    """A transformers sequence-to-sequence model to start from: folder or hub id."""
    passages: Annotated[int, Field(ge=0)] = 1
    """Retrieved English passages whose keyphrases are given, m; 0: the generator without retrieval."""
    source_tokens: Annotated[int, Field(ge=16)] = 512
    """Most tokens of the input."""
    keyphrase_tokens: Annotated[int, Field(ge=1)] = 64
    """Tokens of English keyphrases for which the passage always makes room; they take what it leaves free, too."""
    target_tokens: Annotated[int, Field(ge=4)] = 128
    """Most tokens of the keyphrases, in training and in generation."""

    @model_validator(mode="after")
    def _passage_has_room(self) -> Self:
        if self.passages and 2 * self.keyphrase_tokens > self.source_tokens:
            raise ValueError("keyphrase_tokens must be at most half of source_tokens")
        return self


GENERATOR_OPTIM = OptimConfig(lr=1e-4, epochs=10, batch=8)  # App. A.1


class GenerateConfig(Settings):
    """Beam search."""

    beams: Annotated[int, Field(ge=1)] = 5
    """Beams of the search; a hypothesis is ranked by its mean log-probability of a token."""


class RGITConfig(Settings):
    """Rounds of retriever-generator iterative training (Sec. 4.3, Algorithm 1)."""

    rounds: Annotated[int, Field(ge=0)] = 3
    """Most rounds, T; 0: RAMKG without RGIT."""
    tau: Annotated[float, Field(ge=0, lt=100)] = 5.0
    """F1, in percent points, that retrieved keyphrases must add for a pair to be taken."""
    schedule: Literal["union", "sequential"] = "union"
    """A round's retriever learns from pseudo and parallel pairs together (the paper), or first from the ones and then
    from the others (its code)."""
    mining: Literal["gain", "random"] = "gain"
    """Pairs that help generation (Algorithm 1), or, as a control, as many of passages and English ones at random."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of `mining: random`."""
    patience: Annotated[int, Field(ge=1)] = 1
    """Rounds without a better retrieval recall on the validation pairs after which the rounds stop."""


class RAMKGOptions(TrainedOptions):
    """How a saved RAMKG predicts: what a user may set."""

    generate: GenerateConfig = GenerateConfig()


class RAMKGConfig(RAMKGOptions, TrainedConfig):
    """A saved RAMKG, and how it predicts."""

    @override
    def weights_sha256(self) -> str:
        """First 16 digits of the SHA-256 of the generator's and, if there is one, the retriever's weights."""
        digest = hashlib.sha256()
        for part in (GENERATOR, RETRIEVER):
            folder = self.folder / part
            if part == RETRIEVER and not folder.exists():
                continue
            digest.update(bytes.fromhex(weights_sha256(folder, fix="give a folder that RGIT wrote")))
        return digest.hexdigest()[:16]
