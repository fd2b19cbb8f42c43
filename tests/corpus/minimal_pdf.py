"""Writes the objects of a PDF into a file."""

from __future__ import annotations

from collections.abc import Sequence


def pdf_of(objects: Sequence[str]) -> bytes:
    """A PDF of these objects, in ASCII. They are numbered from 1, and the first one is the catalog."""
    body, offsets = "%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode("ascii")
