"""How fast RAMKG's beam search is, compared with transformers: what `python benchmarks/run.py generation` measures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import torch

from kpray.corpus.planted import PlantedFiles
from kpray.document import Record
from kpray.ramkg.backbones import BackboneSizes, Size, write_backbones
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import GenerateConfig, GeneratorConfig
from kpray.ramkg.encoder import pad
from kpray.ramkg.generator import Generator, load_model
from kpray.rgit.corpora import write_documents

_TOGETHER = 8  # documents of a batch of the plain loop


def benchmark(search: GenerateConfig, records: Sequence[Record], rounds: int) -> list[dict[str, str | float | None]]:
    """Compare generation with a plain `generate` loop in file order, with one thread.

    The model is a small random mBART that ends no sequence early, so that luck makes no difference. The two run in
    turn, so that what disturbs the machine disturbs both, and each round has its own ratio.

    Args:
        search: of the generation.
        records: the documents.
        rounds: number of rounds, after one that warms up.

    Returns:
        A row for each round.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        generator = _make_generator(search, records, Path(scratch))
    mixer = generator.mixer
    language = mixer.language("en")
    made = mixer.sources([record.document.text for record in records], [language] * len(records), [])
    sources = [source for source in made if not isinstance(source, str)]
    plain_model = deepcopy(generator.model)
    plain_model.set_attn_implementation("sdpa")

    def plain() -> None:
        for start in range(0, len(sources), _TOGETHER):
            ids, mask = pad(sources[start : start + _TOGETHER], mixer.pad_id)
            with torch.inference_mode():
                plain_model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    num_beams=search.beams,
                    max_new_tokens=mixer.config.target_tokens,
                    decoder_start_token_id=mixer.frame(language).start[0],
                    eos_token_id=mixer.marks.end,
                    pad_token_id=mixer.pad_id,
                    do_sample=False,
                )

    contestants: list[Callable[[], object]] = [plain, lambda: generator.generate(sources, ["en"] * len(sources))]
    rows: list[dict[str, str | float | None]] = []
    for number in range(rounds + 1):
        seconds: list[float] = []
        for run in contestants:
            started = time.process_time()
            run()
            seconds.append(time.process_time() - started)
        if number:
            rows.append(
                {
                    "round": str(number),
                    "documents/s": len(sources) / seconds[1],
                    "plain documents/s": len(sources) / seconds[0],
                    "ratio": seconds[0] / seconds[1],
                }
            )
    return rows


def _make_generator(search: GenerateConfig, records: Sequence[Record], folder: Path) -> Generator:
    """A small random mBART with a tokenizer for these documents."""
    own = folder / "documents.jsonl"
    write_documents(records, own)
    config = GeneratorConfig(passages=0, source_tokens=256, target_tokens=16)
    sizes = BackboneSizes(generator=Size(layers=2, hidden=128, positions=300))
    _, backbone = write_backbones(PlantedFiles(own, own, own, own, own, own), folder / "backbones", sizes, seed=0)
    mixer = load_mixer(config.model_copy(update={"backbone": str(backbone)}))
    return Generator(load_model(mixer), mixer, search)
