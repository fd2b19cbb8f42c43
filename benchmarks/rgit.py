"""What Ray Data costs the steps of RGIT and what they gain: what `python benchmarks/run.py rgit` measures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import time_contestants
from kpray.batch.config import BatchConfig
from kpray.batches import batches_by_length
from kpray.cluster.session import ray_session
from kpray.cluster.step_cache import StepCache
from kpray.corpus.planted import PlantedFiles
from kpray.corpus.store import PassageStore, build_store
from kpray.document import Record
from kpray.pretrained import load_tokenizer
from kpray.ramkg.backbones import BackboneSizes, Size, write_backbones
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import GenerateConfig, GeneratorConfig, RetrieverConfig
from kpray.ramkg.encoder import BATCH_TOKENS, TextEncoder, load_encoder, open_retriever, pad, save_retriever
from kpray.ramkg.generator import BATCH_TOKENS as GENERATOR_TOKENS
from kpray.ramkg.generator import Generator, load_model
from kpray.rgit import retrieval as mine
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import write_documents
from kpray.rgit.job import run_rgit

Row = dict[str, str | float | None]

_SIDE_BY_SIDE = 8  # documents of a batch of the plain loop


def benchmark(
    retriever: RetrieverConfig, search: GenerateConfig, job: RGITSettings, records: Sequence[Record], rounds: int
) -> list[Row]:
    """Time embedding, generation and two rounds.

    Args:
        retriever: of the encoder that embeds the documents.
        search: of the generation.
        job: of the rounds; its output folder is another one.
        records: English documents; embedding is timed from the first thousand's end on, so that there should be more.
        rounds: how often the contestants of generation are timed; the best round counts.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_documents(records, folder / "documents.jsonl")
        generation = _generation(search, records, folder, rounds)  # before Ray's processes run beside it
        with ray_session(None):
            rows = _embedding(retriever, build_store([str(folder / "documents.jsonl")], folder / "store"), folder)
            return [*rows, *generation, *_rounds(job, folder)]


def _embedding(config: RetrieverConfig, store: PassageStore, folder: Path) -> list[Row]:
    texts = TextEncoder(load_tokenizer(config.backbone), config)
    encoder = load_encoder(texts)
    save_retriever(encoder, texts, folder / "retriever")
    retriever = (folder / "retriever", open_retriever(str(folder / "retriever")).sha256)
    passages = [store.record(row) for row in range(len(store))]
    started = time.perf_counter()
    ids = texts.encode_passages(passages)
    tokenizing = time.perf_counter() - started

    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(ids), mine.ROWS):
            part = ids[start : start + mine.ROWS]
            for batch in batches_by_length([len(row) for row in part], BATCH_TOKENS.cpu):
                encoder(*pad([part[index] for index in batch], texts.pad_id))
    embedding = time.perf_counter() - started
    floor = len(ids) / embedding
    rows: list[Row] = [
        {
            "what": "embedding, the bare model on the same batches",
            "documents/s": floor,
            "of the floor": 1.0,
            "seconds": embedding,
        },
        {"what": "tokenizing", "documents/s": len(ids) / tokenizing, "seconds": tokenizing},
    ]
    tokens = mine.tokenize(StepCache(folder / "tokens"), store, config, "benchmark", "passage")
    for actors in (1, 2):
        steps = StepCache(folder / f"actors-{actors}")
        step = mine.embed_passages(steps, tokens, retriever, BatchConfig(actors=actors))
        rate = _steady_rate(step.folder)
        name = f"embedding through Ray Data, {actors} actor{'s' * (actors > 1)} of one thread each"
        rows.append({"what": name, "documents/s": rate, "of the floor": rate / floor})
    return rows


def _steady_rate(folder: Path) -> float:
    """Documents a second by the clock, from the end of the first part to that of the last: actors have started then."""
    ends = sorted(path.stat().st_mtime for path in folder.glob("part-*.parquet"))
    return mine.ROWS * sum(1 for _ in pairwise(ends)) / (ends[-1] - ends[0])


def _generation(search: GenerateConfig, records: Sequence[Record], folder: Path, rounds: int) -> list[Row]:
    """A small random mBART: it ends no sequence early, so that sorting by length, and no luck, makes the difference."""
    own = folder / "documents.jsonl"
    config = GeneratorConfig(passages=0, source_tokens=256, target_tokens=16)
    sizes = BackboneSizes(generator=Size(layers=2, hidden=128, positions=300))
    _, backbone = write_backbones(PlantedFiles(own, own, own, own, own, own), folder / "backbones", sizes, seed=0)
    mixer = load_mixer(config.model_copy(update={"backbone": str(backbone)}))
    generator = Generator(load_model(mixer), mixer, search)
    sample = list(records[:256])
    language = mixer.language("en")
    sources = [
        source
        for source in mixer.sources([record.document.text for record in sample], [language] * len(sample), [])
        if not isinstance(source, str)
    ]
    langs = ["en"] * len(sources)

    def plain() -> None:
        for start in range(0, len(sources), _SIDE_BY_SIDE):
            ids, mask = pad(sources[start : start + _SIDE_BY_SIDE], mixer.pad_id)
            with torch.inference_mode():
                generator.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    num_beams=search.beams,
                    max_new_tokens=config.target_tokens,
                    decoder_start_token_id=mixer.frame(language).start[0],
                    eos_token_id=mixer.marks.end,
                    pad_token_id=mixer.pad_id,
                    do_sample=False,
                )

    contestants: dict[str, Callable[[], Any]] = {
        f"generation, plain loop in file order, {_SIDE_BY_SIDE} documents a batch": plain,
        f"generation of kpray, {GENERATOR_TOKENS.cpu} tokens a batch": lambda: generator.generate(sources, langs),
    }
    seconds, _ = time_contestants(contestants, rounds)
    floor = next(iter(seconds.values()))
    return [
        {"what": name, "documents/s": len(sources) / time_, "of the floor": floor / time_}
        for name, time_ in seconds.items()
    ]


def _rounds(job: RGITSettings, folder: Path) -> list[Row]:
    report = run_rgit(job.model_copy(update={"output": folder / "rgit", "systems": ("rgit",)}))
    names = [line["step"] for line in report["steps"]]
    starts = [place for place, name in enumerate(names) if name == "retriever"][:3]
    seconds = np.array([line["seconds"] for line in report["steps"]])
    first, second = float(seconds[: starts[1]].sum()), float(seconds[starts[1] : starts[2]].sum())
    return [
        {"what": "first round, with the base generator", "seconds": first, "of the floor": 1.0},
        {"what": "second round", "seconds": second, "of the floor": second / first},
    ]
