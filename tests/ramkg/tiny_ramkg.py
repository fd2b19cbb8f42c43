"""A complete RAMKG from the small random models: retriever, index, English passages, generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kpray.pretrained import load_tokenizer
from kpray.ramkg.config import ENGLISH, GENERATOR, INDEX, RETRIEVER, GenerateConfig, IndexConfig, RAMKGConfig
from kpray.ramkg.encoder import TextEncoder, embed, load_encoder, open_retriever, save_retriever
from kpray.ramkg.generator import save_generator
from kpray.ramkg.index import PassageIndex, build_index
from kpray.ramkg.predictor import save_parts
from tests.ramkg import tiny_generator, tiny_retriever


def save_ramkg(scratch: Path, *, steps: int = 60) -> Path:
    """Write a folder for `open_predictor`; after 60 steps the model has memorized `tiny_generator.RECORDS`."""
    reader, writer = scratch / "bert", scratch / "mbart"
    reader.mkdir()
    writer.mkdir()
    texts = TextEncoder(load_tokenizer(tiny_retriever.save_backbone(reader)), tiny_retriever.make_config(str(reader)))
    save_retriever(load_encoder(texts), texts, scratch / RETRIEVER)
    retriever = open_retriever(str(scratch / RETRIEVER))
    english = tiny_generator.save_english(scratch)
    passages = retriever.texts.encode_passages([english.record(row) for row in range(len(english))])
    build_index([embed(retriever.encoder, passages)], scratch / INDEX, IndexConfig(), retriever.sha256)

    # The generator is trained with the passages retrieved for each document, as in RGIT.
    task = tiny_generator.make_task(tiny_generator.save_backbone(writer, "mbart25"), english.folder)
    queries = retriever.texts.encode_queries([record.document for record in tiny_generator.RECORDS])
    _, rows = PassageIndex(scratch / INDEX, None).search(embed(retriever.encoder, queries), task.config.passages)
    records = [
        replace(record, english_ids=tuple(english.record(row).document.id for row in retrieved))
        for record, retrieved in zip(tiny_generator.RECORDS, rows.tolist(), strict=True)
    ]
    save_generator(tiny_generator.train(task, steps, records), task.mixer, scratch / GENERATOR)
    parts = {GENERATOR: scratch / GENERATOR, RETRIEVER: scratch / RETRIEVER, INDEX: scratch / INDEX}
    config = RAMKGConfig(model="", generate=GenerateConfig(beams=2))
    save_parts(scratch / "ramkg", {**parts, ENGLISH: english.folder}, config, {})
    return scratch / "ramkg"
