"""Fixtures for reading and writing documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kpray.corpus.limits import Limits, Reading
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import find_sources
from kpray.document import Record
from tests.corpus.minimal_pdf import pdf_of

Read = Callable[..., list[Record | Reject]]
Chunks = Callable[..., list[Chunk]]


@pytest.fixture
def chunks(tmp_path: Path) -> Chunks:
    """A function that writes a file and returns its chunks."""

    def read(name: str, contents: bytes, records_per_chunk: int = 2, limits: Limits | None = None) -> list[Chunk]:
        (tmp_path / name).write_bytes(contents)
        [source] = find_sources([str(tmp_path / name)])
        return list(read_chunks(source, records_per_chunk, Reading(limits=limits or Limits())))

    return read


@pytest.fixture
def read(chunks: Chunks) -> Read:
    """A function that writes a file and returns its records and rejects."""

    def parse(name: str, contents: bytes, limits: Limits | None = None) -> list[Record | Reject]:
        limits = limits or Limits()
        return [
            item
            for chunk in chunks(name, contents, 2, limits)
            for item in parse_chunk(chunk, Reading(lang="en", limits=limits))
        ]

    return parse


@pytest.fixture
def bodies() -> Callable[[Sequence[Record | Reject]], list[str]]:
    """A function that returns the body of each record, and "line: reason" for each reject."""

    def show(results: Sequence[Record | Reject]) -> list[str]:
        return [f"{r.line}: {r.reason}" if isinstance(r, Reject) else r.document.body for r in results]

    return show


@pytest.fixture(scope="session")
def pdf() -> Callable[[Sequence[Sequence[str]]], bytes]:
    """A function that makes a minimal PDF with the given lines of ASCII text on each page."""
    return _pdf


def _pdf(pages: Sequence[Sequence[str]]) -> bytes:
    count = len(pages)
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for page, lines in enumerate(pages):
        shown = " ".join(f"({line}) Tj T*" for line in lines)
        content = f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET"
        resources = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {5 + 2 * page} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return pdf_of(objects)
