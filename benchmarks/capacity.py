"""How long jobs take, and what limits them, on machines that one has not got yet: arithmetic from stated rates.

Sources of the rates: "measured" is in docs/results/; "data sheet" is a maker's figure; "assumption" is nobody's
measurement: replace it by a measured value when there is one.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from benchmarks.settings import BenchmarkSettings
from kpray.settings import Settings

Positive = Annotated[float, Field(gt=0)]
_HOUR = 3600.0
_ADAM_BYTES = 16  # a parameter in mixed precision: fp16 weight and gradient, fp32 weight and two moments


class Rates(Settings):
    """Performance of the machines."""

    samrank_core: Positive = 20.7
    """Documents per second of SAMRank on one core. Measured on Inspec with all-MiniLM-L6-v2 and precomputed tags."""
    gpu_flops: Positive = 312e12
    """Peak FLOP/s of one GPU in fp16. From the data sheet of NVIDIA's A100."""
    gpu_gb: Positive = 40.0
    """Memory of one GPU in GB. From the data sheet of NVIDIA's A100."""
    training_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Fraction of `gpu_flops` that training and embedding reach. An assumption."""
    decoding_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Fraction of `gpu_flops` that token-by-token generation reaches. An assumption: memory bandwidth limits it."""
    storage_mb: Positive = 100.0
    """Throughput of the storage in MB/s for all nodes together. An assumption."""


class Models(Settings):
    """Numbers of parameters of the models. Embeddings count like the others, so the times are upper estimates."""

    unikeyphrase: Positive = 110e6
    """Parameters of UniLM base, the same as BERT base (Devlin et al., NAACL 2019)."""
    encoder: Positive = 178e6
    """Parameters of bert-base-multilingual-cased, including the embeddings of its 119,547 tokens."""
    encoder_size: Annotated[int, Field(ge=1)] = 768
    """Dimension of the encoder's vectors."""
    generator: Positive = 611e6
    """Parameters of mbart-large-cc25 (Liu et al., TACL 2020)."""


class Work(Settings):
    """The amount of data."""

    documents: Positive = 3e6
    """Number of documents to extract from or to train on, and of RGIT's English passages."""
    queries: Positive = 62e3
    """Number of RGIT's documents in other languages."""
    pairs: Positive = 2e3
    """Number of pairs that RGIT's retriever is trained on in a round. The pseudo pairs add to them."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """Number of RGIT's rounds, T."""
    document_bytes: Positive = 1500.0
    """Size of a document in bytes. An assumption: a scientific abstract with its title."""
    output_share: Positive = 0.2
    """Size of the predictions as a fraction of the documents' size. An assumption."""
    document_tokens: Positive = 256.0
    """Number of tokens per document or passage. An assumption."""
    target_tokens: Positive = 48.0
    """Number of generated tokens per document. An assumption."""
    beams: Annotated[int, Field(ge=1)] = 5
    """Number of beams in generation."""
    unikeyphrase_epochs: Annotated[int, Field(ge=1)] = 100
    """Number of UniKeyphrase's epochs, by default as in the paper."""
    retriever_epochs: Annotated[int, Field(ge=1)] = 15
    """Number of epochs of RAMKG's retriever, by default as in the paper."""
    generator_epochs: Annotated[int, Field(ge=1)] = 10
    """Number of epochs of RAMKG's generator, by default as in the paper."""


class PlanConfig(Work, BenchmarkSettings):
    """Settings of `benchmarks/run.py capacity`."""

    gpus: Annotated[int, Field(ge=1)] = 8
    """Number of GPUs in the cluster."""
    cores: Annotated[int, Field(ge=1)] = 64
    """Number of CPU cores in the cluster, in addition to those that serve the GPUs."""
    rates: Rates = Rates()
    models: Models = Models()


def plan(config: PlanConfig) -> list[dict[str, Any]]:
    """A row for each job and step of RGIT: hours, GB of memory a GPU, GB on disk, what limits, on what grounds.

    A transformer's forward pass takes 2 FLOP a parameter and token, forward and backward 6 (Kaplan et al., 2020,
    Sec. 2.1); a vector of the index 2 bytes a number; the memory is that of weights, gradients and Adam in training,
    of fp16 weights elsewhere, and in both without activations.
    """
    rates, models, tokens = config.rates, config.models, config.document_tokens
    reading = config.documents * config.document_bytes
    cores_seconds = config.documents / (rates.samrank_core * config.cores)
    rows = [
        _row(
            "extract, SAMRank",
            {"cores": cores_seconds},
            reading,
            0.0,
            reading * config.output_share,
            "measured rate",
            config,
        ),
        _training(
            "train_unikeyphrase", models.unikeyphrase, config.documents * config.unikeyphrase_epochs, config, reading
        ),
    ]
    index = config.documents * models.encoder_size * 2
    per_round = [
        _training("rgit: train retriever", models.encoder, 2 * config.pairs * config.retriever_epochs, config),
        _gpu_row(
            "rgit: embed passages",
            2 * models.encoder * tokens * config.documents,
            2 * models.encoder,
            config,
            reading,
            index,
        ),
        _search(config),
        _generation("rgit: generate", config),
    ]
    for row in per_round:
        row["job"] += f", {config.rounds} rounds"
        row["hours"] *= config.rounds
    final = _training("rgit: train generator", models.generator, config.queries * config.generator_epochs, config)
    return [*rows, *per_round, final]


def _training(job: str, params: float, documents: float, config: PlanConfig, read: float = 0.0) -> dict[str, Any]:
    checkpoints = 3 * params * _ADAM_BYTES  # the last two, and one that is being written
    flop = 6 * params * config.document_tokens * documents
    return _gpu_row(job, flop, params * _ADAM_BYTES, config, read, checkpoints)


def _gpu_row(
    job: str, flop: float, memory: float, config: PlanConfig, read: float = 0.0, disk: float = 0.0
) -> dict[str, Any]:
    """A step of matrix products over whole sequences, which keep a GPU busy."""
    seconds = flop / (config.rates.gpu_flops * config.rates.training_share * config.gpus)
    return _row(job, {"GPUs": seconds}, read, memory, disk, "FLOP, assumed share", config)


def _search(config: PlanConfig) -> dict[str, Any]:
    """Exact search: the inner product of each query with each vector."""
    index = config.documents * config.models.encoder_size * 2
    flop = 2 * config.models.encoder_size * config.documents * config.queries
    return _gpu_row("rgit: search", flop, index, config, index)


def _generation(job: str, config: PlanConfig) -> dict[str, Any]:
    """Beam search for each query: the source is read once, and each beam reads each of its tokens once."""
    tokens = config.document_tokens + config.beams * config.target_tokens
    flop = 2 * config.models.generator * tokens * config.queries
    seconds = flop / (config.rates.gpu_flops * config.rates.decoding_share * config.gpus)
    return _row(job, {"GPUs": seconds}, 0.0, 2 * config.models.generator, 0.0, "FLOP, assumed share", config)


def _row(
    job: str, seconds: dict[str, float], read: float, memory: float, disk: float, basis: str, config: PlanConfig
) -> dict[str, Any]:
    """What takes longest limits a job, unless it does not fit into a GPU's memory."""
    times = {**seconds, "storage": read / (config.rates.storage_mb * 1e6)}
    limit = max(times, key=lambda name: times[name])
    if memory > config.rates.gpu_gb * 1e9:
        limit = "memory of a GPU"
    return {
        "job": job,
        "hours": max(times.values()) / _HOUR,
        "memory_gb": memory / 1e9,
        "disk_gb": disk / 1e9,
        "limit": limit,
        "basis": basis,
    }
