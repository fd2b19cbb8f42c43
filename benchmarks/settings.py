"""Settings of the benchmarks, apart from what needs PyTorch and Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field, PositiveInt

from benchmarks.baselines.config import Contestant
from kpray.pretrained import MINILM
from kpray.ramkg.config import GenerateConfig, GeneratorConfig, RetrieverConfig, RGITConfig
from kpray.rgit.planted import PlantedSize
from kpray.samrank.config import SAMRankConfig
from kpray.serve.config import ReplicasConfig
from kpray.settings import Settings
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.config import ModelConfig, TaskConfig


class BenchmarkSettings(Settings):
    """Settings of every benchmark."""

    dry_run: bool = False
    """Print the resolved configuration and the input data, and do nothing else."""


class Benchmark(BenchmarkSettings):
    """Settings of every benchmark that takes documents."""

    input: tuple[str, ...] = ()
    """Files and folders of English documents with gold keyphrases. Without them, those of the quickstart's corpus."""
    documents: Annotated[int, Field(ge=1)] = 200
    """Maximum number of documents."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """Number of times that each contestant is timed. The best time counts."""
    output: Path | None = None
    """Markdown file for the table of results."""


class SAMRankBenchmark(Benchmark):
    """Settings of the benchmark of SAMRank."""

    samrank: SAMRankConfig = SAMRankConfig(
        heads=("4-12",), weighting="unit", candidates="paper", position_scale=None, merge_stems=False
    )


class UniKeyphraseBenchmark(Benchmark):
    """Settings of the benchmark of UniKeyphrase."""

    task: TaskConfig = TaskConfig(model=ModelConfig(backbone=MINILM, attention_dropout=0.0, target_tokens=48))
    optim: OptimConfig = OptimConfig(batch=32)
    run: RunConfig = RunConfig(micro_tokens=4096)
    predictor: str | None = None
    """Folder of a trained UniKeyphrase, to time its prediction as well."""
    workers: tuple[int, ...] = ()
    """Numbers of workers, such as `1 2`, to time training with Ray Train as well."""


class RGITBenchmark(Benchmark):
    """Settings of the benchmark of RGIT, which measures wall time because the work is in Ray's processes."""

    retriever: RetrieverConfig = RetrieverConfig(backbone=MINILM, marks=None, passage_tokens=64)
    """Encoder that embeds the documents. A useful measurement takes some thousands of documents."""


class RealSplit(Settings):
    """Sizes of the parts of the pairs of documents. The other pairs are hidden."""

    given: Annotated[int, Field(ge=1)] = 300
    """Number of pairs that are given."""
    valid: Annotated[int, Field(ge=1)] = 150
    """Number of pairs to choose models by, and to measure recall."""
    test: Annotated[int, Field(ge=1)] = 300
    """Number of documents to report on."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of the parts."""


class RealBackbone(Settings):
    """The small multilingual sequence-to-sequence model, and what it is pretrained on."""

    vocabulary: Annotated[int, Field(ge=100)] = 8000
    """Number of tokens."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Number of layers of the encoder, and of the decoder."""
    hidden: Annotated[int, Field(ge=8)] = 256
    """Hidden size, a multiple of `heads`."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Number of attention heads."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of hidden states."""
    documents: Annotated[int, Field(ge=1)] = 12000
    """Maximum number of documents of --pretrain."""
    sentences: Annotated[int, Field(ge=1)] = 2
    """Number of sentences of each document to restore from their remains, as in BART."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of the weights and of the sentences."""


class RealRGITSettings(BenchmarkSettings):
    """Settings of RAMKG and RGIT on real text, with a backbone that is trained from scratch."""

    foreign: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files of documents with keyphrases in another language than English. Those with an id of --english are pairs."""
    english: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files of English documents with keyphrases. Their titles are not used."""
    pretrain: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files of other English documents with keyphrases, to pretrain the backbone."""
    others: tuple[str, ...] = ()
    """Files of documents with keyphrases in languages without pairs. They train and test generators without
    retrieval."""
    output: Path
    """Output folder for the finished steps and the table (real_rgit.md). The same command continues."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2)
    """Random seeds of the trainings. All have the same parts and the same backbone."""
    split: RealSplit = RealSplit()
    backbone: RealBackbone = RealBackbone()
    retriever: RetrieverConfig = RetrieverConfig(
        backbone=MINILM, pooling="mean", marks=None, passage_tokens=48, negatives=0, valid_passages=300
    )
    generator: GeneratorConfig = GeneratorConfig(
        backbone="trained", source_tokens=128, keyphrase_tokens=40, target_tokens=48
    )
    """The generator. Its backbone is the one that is trained."""
    generate: GenerateConfig = GenerateConfig(beams=3)
    rgit: RGITConfig = RGITConfig(rounds=2)
    pretraining: OptimConfig = OptimConfig(lr=1e-3, epochs=4, batch=16)
    """Optimizer and schedule of the backbone's pretraining."""
    train_retriever: OptimConfig = OptimConfig(lr=5e-5, epochs=4, batch=32)
    train_generator: OptimConfig = OptimConfig(lr=5e-4, epochs=5, batch=8)
    run: RunConfig = RunConfig(zero=0, validate_every=200, valid_documents=100)


class SchedulesBenchmark(BenchmarkSettings):
    """Settings of the comparison of RGIT's schedules on a planted corpus."""

    plant: PlantedSize = "full"
    """Size of the planted corpus."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of the corpus and of the models."""
    output: Path
    """Output folder for the corpus and the finished steps. The same command continues."""


class GenerationBenchmark(Benchmark):
    """Settings of the benchmark of RAMKG's beam search."""

    documents: Annotated[int, Field(ge=1)] = 256
    """Maximum number of documents."""
    rounds: Annotated[int, Field(ge=1)] = 5
    """Number of times that both searches are timed. Each time has a ratio."""
    generate: GenerateConfig = GenerateConfig()


class ServeBenchmark(Benchmark):
    """Settings of the benchmark of serving."""

    samrank: SAMRankConfig = SAMRankConfig()
    replicas: ReplicasConfig = ReplicasConfig(max_replicas=1)
    users: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 4, 16, 64)
    """Numbers of concurrent users, in increasing order."""
    seconds: PositiveInt = 20
    """Duration of each measurement in seconds."""
    words: PositiveInt | None = None
    """Number of words after which each document is cut. If null, documents are not cut."""
    request_documents: PositiveInt = 1
    """Number of documents per request."""
    trace: bool = False
    """Print what autoscaling does, `seconds` each, with one user, with the last number of `users`, and with one user
    again, instead of the measurements."""


class BaselinesBenchmark(BenchmarkSettings):
    """Settings of the comparison with other methods."""

    input: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with gold keyphrases. Each is a dataset with separate scores."""
    output: Path = Path("baselines")
    """Folder for the predictions: OUTPUT/METHOD/DATASET, for `kpray evaluate --predictions OUTPUT/METHOD`."""
    methods: Annotated[tuple[Contestant, ...], Field(min_length=1)] = get_args(Contestant)
    """Methods to run: baselines, kpray's default SAMRank (`samrank`), and the SAMRank of the paper."""
    background: tuple[str, ...] = ()
    """Files and folders of other documents with keyphrases, for document frequencies, topics and the training of Kea.
    Documents of the input are left out. Without them, TF-IDF, KP-Miner, TopicalPageRank and Kea are not run."""
    background_documents: Annotated[int, Field(ge=1)] = 2000
    """Maximum number of documents of the background corpus."""
    model: str = MINILM
    """Folder or hub id of a sentence-transformers model, for EmbedRank, MDERank and KeyBERT."""


class SchedulingConfig(BenchmarkSettings):
    """Settings of the benchmark of Ray's overhead."""

    nodes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Numbers of simulated nodes with one core each, in addition to a head node without work."""
    tasks: Annotated[int, Field(ge=1)] = 2000
    """Number of empty tasks."""
    chunks: Annotated[int, Field(ge=1)] = 400
    """Number of chunks of the batch job's pipeline, each of which only writes an empty file."""


class GPUBenchmark(BenchmarkSettings):
    """Settings of the benchmark of one GPU."""

    seconds: Annotated[float, Field(gt=0)] = 110.0
    """Time limit of all rows together, in seconds."""
    model: str | None = None
    """Folder of all-MiniLM-L6-v2, for the row that reads real texts. If null, its package."""
    tiny: bool = False
    """Run on the CPU with small shapes, to test the benchmark."""
    output: Path | None = None
    """JSON file for the results."""


class AttentionMapSettings(BenchmarkSettings):
    """Settings of the figure of an attention map."""

    input: Annotated[tuple[str, ...], Field(min_length=1)]
    """File with a document that the model reads at once. Only the first document counts."""
    output: Path
    """SVG or PNG file for the figure."""
    samrank: SAMRankConfig = SAMRankConfig(heads=("4-12",), weighting="unit")
    """Model and head. Only the first head counts."""


class AblationSettings(BenchmarkSettings):
    """Settings of the ablations of UniKeyphrase."""

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases for training."""
    valid: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases for the scores."""
    output: Path
    """Output folder for the trainings and their scores (results.jsonl). Finished trainings are not repeated."""
    train_documents: Annotated[int, Field(ge=1)] | None = None
    """Train on the first N records only. If null, train on all."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    """Random seeds. Each variant is trained with each of them."""
    variants: tuple[str, ...] = ()
    """Names of the variants to train. If empty, train all."""
    test: tuple[str, ...] = ()
    """Files and folders of documents with keyphrases for the tables and figures of the paper. The models of the first
    seed are kept for them, and evaluated at the end (tables.html, figures/)."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Time limit in seconds, after which no training begins. If null, no limit."""
    task: TaskConfig = TaskConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()
