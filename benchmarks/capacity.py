"""How long jobs take, and what limits them, on machines that one has not got yet: arithmetic from stated rates.

Sources of the rates: "measured" is in docs/results/; "data sheet" is a maker's figure; "assumption" is nobody's
measurement, and is to be set to one's own as soon as there is one.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from kpray.settings import Settings

Positive = Annotated[float, Field(gt=0)]
_HOUR = 3600.0
_ADAM_BYTES = 16  # a parameter in mixed precision: fp16 weight and gradient, fp32 weight and two moments


class Rates(Settings):
    """What the machines do."""

    samrank_core: Positive = 20.7
    """Documents/s of SAMRank's default on one core; measured: Inspec, all-MiniLM-L6-v2, tags made beforehand."""
    gpu_flops: Positive = 312e12
    """FLOP/s of one GPU in fp16 at most; data sheet of NVIDIA's A100."""
    gpu_gb: Positive = 40.0
    """Memory of one GPU in GB; data sheet of NVIDIA's A100."""
    training_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of `gpu_flops` that training and embedding reach; assumption."""
    decoding_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Share of `gpu_flops` that generation token by token reaches; assumption: it waits for memory."""
    storage_mb: Positive = 100.0
    """MB/s that the storage gives to all nodes together; assumption."""


class Models(Settings):
    """Sizes of the models, parameters in all; FLOP are counted for all, embeddings too, so the times err upward."""

    unikeyphrase: Positive = 110e6
    """UniLM base, as BERT base: Devlin et al., NAACL 2019."""
    encoder: Positive = 178e6
    """bert-base-multilingual-cased: 178 million with its 119,547 tokens' embeddings."""
    encoder_size: Annotated[int, Field(ge=1)] = 768
    """Numbers in a vector of the encoder."""
    generator: Positive = 611e6
    """mbart-large-cc25: Liu et al., TACL 2020."""


class Work(Settings):
    """What there is to do."""

    documents: Positive = 3e6
    """Documents to extract from, to train on, or English passages of RGIT."""
    queries: Positive = 62e3
    """RGIT's documents in other languages."""
    pairs: Positive = 2e3
    """Pairs that RGIT's retriever learns from in a round; the mined ones make them more."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """T of RGIT."""
    document_bytes: Positive = 1500.0
    """Of a document; assumption: an abstract of scientific text with its title."""
    output_share: Positive = 0.2
    """Bytes of the predictions for a byte of the documents; assumption."""
    document_tokens: Positive = 256.0
    """Of a document, or a passage; assumption."""
    target_tokens: Positive = 48.0
    """That are generated for a document; assumption."""
    beams: Annotated[int, Field(ge=1)] = 5
    """Of the generation."""
    unikeyphrase_epochs: Annotated[int, Field(ge=1)] = 100
    """The paper's."""
    retriever_epochs: Annotated[int, Field(ge=1)] = 15
    """The paper's."""
    generator_epochs: Annotated[int, Field(ge=1)] = 10
    """The paper's."""


class PlanConfig(Work):
    """What `benchmarks/run.py capacity` takes."""

    gpus: Annotated[int, Field(ge=1)] = 8
    """Of the cluster."""
    cores: Annotated[int, Field(ge=1)] = 64
    """Of the cluster, beside those of the GPUs."""
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
