"""Read damaged files of every format for some minutes, and report what is not handled.

    python tests/integration/fuzz_readers.py 60 0

The arguments are the number of minutes and the first seed. Each seed makes one file. A record, a reject or a
`UserError` is right. The script reports other exceptions, internal errors, and files that take more than 30 seconds or
end the process. It also finds the keyphrases of the texts, with a small model. No test runs it, because it takes long.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

# ruff: noqa: E402
import pyarrow as pa
import pyarrow.parquet as pq

from kpray.corpus.records import Reject, read_records
from kpray.errors import RejectedDocument, UserError
from kpray.predictor import Predictor
from kpray.registry import open_predictor
from tests.corpus.minimal_pdf import pdf_of
from tests.corpus.test_packages import DOCX, EPUB, package
from tests.corpus.test_pdf import page_pdf, shown
from tests.samrank.tiny_models import save_bert

BATCH = 200  # files for each process
SECONDS = 30
TEXT = (
    "Bees see polarised light. Größere Völker - “quoted”, e\u0301, 中文, русский.\n\n"
    "# Heading\n\n- item <b>x</b> &amp; $x_1$\n"
)
RECORDS = [{"id": number, "title": "Bees", "abstract": TEXT, "keywords": ["bees", "light"]} for number in range(4)]
TOKENS = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n\n", b'"', b"'", b",", b";", b"\t", b"{", b"[", b"}" * 50),
    *(b"[" * 5000, b"<" * 500, b"<!--", b"<![CDATA[", b"<script>", b"&#1114112;", b"&#xD800;", b"\\ud800", b"NaN"),
    *(
        b"1e999",
        b"9" * 5000,
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"\xc2\xad" * 99,
        b"```",
        b"$$",
        b"|" * 300,
    ),
    *(
        b"|" * 300,
        b"endstream",
        b"/F Do ",
        b"0 R",
        b"obj",
        b"PAR1",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"a" * 20_000,
        b" " * 20_000,
    ),
]


def samples() -> dict[str, bytes]:
    """A small valid file of each format."""
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), table)
    quoted = TEXT.replace('"', '""')
    comma = f'id,title,abstract,keywords\n1,Bees,"{quoted}",bees;light\n2,Light,"{quoted}",x\n'.encode()
    page = f"<html><head><title>Bees</title></head><body><h1>Bees</h1><p>{TEXT}</p></body></html>".encode()
    plain = TEXT.encode()
    pdf = page_pdf([shown([(72, 700 - 14 * line, 12, "(Bees see polarised light)") for line in range(9)])] * 3)
    assert pdf_of([])
    files = {
        **{
            "a.jsonl": lines,
            "a.json": json.dumps(RECORDS).encode(),
            "a.csv": comma,
            "a.tsv": comma.replace(b",", b"\t"),
        },
        **{"a.txt": plain, "a.md": plain, "a.rst": plain, "a.html": page, "a.parquet": table.getvalue(), "a.pdf": pdf},
        **{
            "a.docx": package(DOCX),
            "a.epub": package(EPUB),
            "b.txt": TEXT.encode("utf-16"),
            "c.txt": "é€ü".encode("cp1252"),
        },
    }
    return {**files, **{f"{name}.gz": gzip.compress(files[name]) for name in ("a.jsonl", "a.csv", "a.txt", "a.html")}}


def damage(contents: bytes, random: Random, others: list[bytes]) -> bytes:
    """Contents with a few random changes."""
    changed = bytearray(contents)
    for _ in range(random.choice([1, 1, 2, 5, 20])):
        at, length = random.randrange(len(changed) + 1), random.choice([1, 2, 10, 100])
        match random.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length] * random.choice([1, 2, 50])
            case 3 | 4:
                changed[at:at] = random.choice(TOKENS)
            case 5:
                del changed[at:]
            case _:
                other = random.choice(others)
                start = random.randrange(len(other))
                changed[at:at] = other[start : start + 10 * length]
    return bytes(changed)


def make(seed: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Name and contents of the file of a seed."""
    random = Random(seed)
    name = random.choice(sorted(files))
    contents = files[name]
    if random.random() < 0.5 and name.endswith((".gz", ".docx", ".epub")):  # damage what is inside
        if name.endswith(".gz"):
            return name, gzip.compress(damage(zlib.decompress(contents, 31), random, list(files.values())))
        parts = dict(DOCX if name.endswith(".docx") else EPUB)
        part = random.choice(sorted(parts))
        inside = damage(parts[part].encode(), random, list(files.values()))
        parts[part] = inside.decode("utf-8", "replace")
        return name, package(parts)
    return name, damage(contents, random, list(files.values()))


def read(path: Path, predictor: Predictor[Any]) -> str:
    """Read a file and find its keyphrases; return the problem, or an empty text."""
    try:
        for result in read_records([str(path)]):
            if isinstance(result, Reject):
                if result.reason.startswith("internal error"):
                    return result.reason
            elif len(result.document.text) < 100_000:
                predictor.predict_prepared([predictor.prepare(result.document)], 10)
    except (UserError, RejectedDocument):
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def read_batch(first: int) -> None:
    files = samples()
    with tempfile.TemporaryDirectory() as folder:
        model = save_bert(Path(folder) / "model").folder
        predictor = open_predictor("samrank", {"model": model, "heads": ["2-1"]})
        for seed in range(first, first + BATCH):
            name, contents = make(seed, files)
            path = Path(folder) / name
            path.write_bytes(contents)
            print(f"{seed} {name}", flush=True)
            began = time.monotonic()
            problem = read(path, predictor)
            path.unlink()
            if time.monotonic() - began > SECONDS:
                problem = problem or "slow"
            if problem:
                print(f"{seed} {name} FOUND {problem}"[:300], flush=True)


def main() -> None:
    end, seed, found = time.monotonic() + 60 * float(sys.argv[1]), int(sys.argv[2]), 0
    while time.monotonic() < end:
        command = [sys.executable, __file__, "batch", str(seed)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            lines, how = done.stdout.splitlines(), f"ended the process ({done.returncode}) {done.stderr[-300:]}"
            bad = done.returncode != 0
        except subprocess.TimeoutExpired as error:
            lines, how, bad = (error.stdout or b"").decode().splitlines(), "took more than 600 seconds", True
        problems = [line for line in lines if " FOUND " in line] + [f"{lines[-1:]} {how}"] * bad
        found += len(problems)
        print(*problems, sep="\n", end="\n" * bool(problems), flush=True)
        seed += BATCH
    print(f"{seed - int(sys.argv[2]):,} files, {found} problems")


if __name__ == "__main__":
    if sys.argv[1] == "batch":
        read_batch(int(sys.argv[2]))
    else:
        main()
