"""The pages of PDF files, read by PDFium in a process of its own.

A file of 2 KB can keep PDFium busy for days, fill the memory, or crash it: a page may draw a form ten times that draws
another form ten times, and so on. So the process `python -m kpray.corpus.pdf_pages` reads. It takes files from standard
input and writes their pages to standard output, and it ends with the process that started it.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from kpray.corpus.pdf_layout import Line, Page
from kpray.errors import RejectedDocument

if TYPE_CHECKING:
    import pypdfium2

_MEMORY = 4 << 30  # bytes of address space
_PASSWORD_ERROR = 4
_LINE_HYPHEN = 2  # PDFium's code for a hyphen at a line end; the line break after it is missing
STAMP_CHARACTERS = 200  #: a scanned page with fewer has a stamp, not the text of an OCR
_SCAN_SHARE = 0.5  # of the page that an image covers
_LONG_WORD = 13  # characters; a longer word may be several, with narrow gaps between them
_NARROW_GAP = 0.07  # of the line's height, more than the gap between two letters of a word
_WIDE_GAP = 2.0  # of the line's height: a gap between columns or cells

_lock = threading.Lock()
_process: list[subprocess.Popen[bytes]] = []  # the reading process, once it has been started


class PDFError(Exception):
    """An unexpected exception in the reading process. The text is its traceback."""


def read_pages(contents: bytes, max_characters: int, max_seconds: int) -> list[Page]:
    """Pages of a PDF. Reading stops after the page with which the text exceeds `max_characters`.

    Args:
        contents: the file.
        max_characters: maximum length of the text.
        max_seconds: maximum processor time.

    Raises:
        RejectedDocument: the PDF is damaged, needs a password, takes too long, or kills the process that reads it.
        PDFError: kpray has a bug.
    """
    with _lock:
        if not _process or _process[0].poll() is not None:
            _stop()
            command = [sys.executable, "-m", "kpray.corpus.pdf_pages"]
            pipe = subprocess.PIPE
            _process.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL))
        [process] = _process
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"bytes": len(contents), "max_characters": max_characters, "max_seconds": max_seconds}
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n" + contents)
            process.stdin.flush()
            line = process.stdout.readline()
            answer = json.loads(line) if line.endswith(b"\n") else {}
        except BaseException as error:  # what the process answers later would belong to the next file
            process.kill()
            if not isinstance(error, BrokenPipeError):
                raise
            answer = {}
        if not answer:
            died = process.wait()
            if died == -signal.SIGXCPU:
                raise RejectedDocument(f"the PDF takes more than {max_seconds} seconds to read (limits.max_seconds)")
            raise RejectedDocument("the PDF ends the process that reads it, by a crash or by its memory")
    if "reject" in answer:
        raise RejectedDocument(answer["reject"])
    if "failure" in answer:
        raise PDFError(answer["failure"])
    return [Page(**{**page, "lines": [Line(**line) for line in page["lines"]]}) for page in answer["pages"]]


@atexit.register
def _stop() -> None:
    """End the reading process, if there is one."""
    while _process:
        with _process.pop() as process:
            process.kill()


def _answer(contents: bytes, max_characters: int) -> dict[str, Any]:
    import traceback

    try:
        return {"pages": [asdict(page) for page in _read_pages(contents, max_characters)]}
    except RejectedDocument as error:
        return {"reject": error.reason}
    except MemoryError:
        raise
    except Exception:
        return {"failure": traceback.format_exc()}


def _main() -> None:
    """Answer requests until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        contents = sys.stdin.buffer.read(request["bytes"])
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + request["max_seconds"] + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        answer = json.dumps(_answer(contents, request["max_characters"])).encode()
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


def _read_pages(contents: bytes, max_characters: int) -> list[Page]:
    import pypdfium2

    pages: list[Page] = []
    characters = 0
    try:
        document = pypdfium2.PdfDocument(contents)
        try:
            for page in document:
                pages.append(_read_page(page, len(pages)))
                page.close()
                characters += sum(len(line.text) for line in pages[-1].lines)
                if characters > max_characters:
                    break
        finally:
            document.close()
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD_ERROR:
            raise RejectedDocument("the PDF is protected by a password") from error
        raise RejectedDocument(f"the PDF cannot be read: {str(error)[:200]}") from error
    return pages


def _read_page(page: pypdfium2.PdfPage, number: int) -> Page:
    textpage = page.get_textpage()
    lines = [line for line in _Characters(textpage, number).lines() if line.text.strip()]
    textpage.close()
    upright = [line for line in lines if line.upright]
    if len(upright) > len(lines) / 2:  # the others are stamps at the margin, watermarks or labels of axes
        lines = upright
    few = sum(len(line.text) for line in lines) < STAMP_CHARACTERS
    return Page(lines, bottom=page.get_bbox()[1], top=page.get_bbox()[3], scan=few and _is_scan(page))


def _is_scan(page: pypdfium2.PdfPage) -> bool:
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    width, height = page.get_size()
    for image in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        if (right - left) * (top - bottom) > _SCAN_SHARE * width * height:
            return True
    return False


class _Characters:
    """The characters of a page with their boxes."""

    def __init__(self, textpage: pypdfium2.PdfTextPage, number: int) -> None:
        from pypdfium2 import raw

        self._raw, self._page, self._number = raw, textpage, number
        self.codes = [raw.FPDFText_GetUnicode(textpage, index) for index in range(textpage.count_chars())]
        self._rectangle = raw.FS_RECTF()

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a character, with the space that its font gives it."""
        box = self._rectangle
        self._raw.FPDFText_GetLooseCharBox(self._page, index, ctypes.byref(box))
        return box.left, box.bottom, box.right, box.top

    def lines(self) -> Iterator[Line]:
        start = 0
        for index, code in enumerate([*self.codes, 10]):
            if code == _LINE_HYPHEN or code in (10, 13):
                end = index + (code == _LINE_HYPHEN)
                yield from self._line(start, end)
                start = index + 1

    def _line(self, start: int, end: int) -> Iterator[Line]:
        """The line of these characters; several, if there are wide gaps in it."""
        shown = [index for index in range(start, end) if self.codes[index] > 32 or self.codes[index] == _LINE_HYPHEN]
        if not shown:
            return
        boxes = [self.box(index) for index in (shown[0], shown[len(shown) // 2], shown[-1])]
        height = median(top - bottom for _, bottom, _, top in boxes) or 1.0
        bottom, top = median(box[1] for box in boxes), median(box[3] for box in boxes)
        upright = abs(self._raw.FPDFText_GetCharAngle(self._page, shown[0])) < 0.1
        cells = [shown[:1]]
        for before, after in pairwise(shown):
            if after > before + 1 and self.box(after)[0] - self.box(before)[2] > _WIDE_GAP * height:
                cells.append([])
            cells[-1].append(after)
        for cell in cells:
            yield Line(self._words(cell, height), bottom, top, height, self._number, upright)

    def _words(self, cell: list[int], height: float) -> str:
        """Text of a cell, also with spaces at narrow gaps that PDFium takes for parts of a word."""
        codes = [self.codes[index] for index in cell]
        characters = ["-" if code == _LINE_HYPHEN else chr(min(code, sys.maxunicode)) for code in codes]
        spaced = [after > before + 1 for before, after in pairwise(cell)]
        text = characters[0] + "".join(
            " " * space + character for space, character in zip(spaced, characters[1:], strict=True)
        )
        if max(map(len, text.split())) < _LONG_WORD:
            return text
        boxes = [self.box(index) for index in cell]
        gaps = [(after[0] - before[2]) / height for before, after in pairwise(boxes)]
        inside = [gap for gap, space in zip(gaps, spaced, strict=True) if not space]
        usual = median(inside) if inside else 0.0
        narrow = [not space and gap > usual + _NARROW_GAP for gap, space in zip(gaps, spaced, strict=True)]
        if sum(narrow) > len(narrow) / 3:  # the font's widths are wrong, or the letters are spaced
            return text
        return characters[0] + "".join(
            " " * (space or gap) + character
            for space, gap, character in zip(spaced, narrow, characters[1:], strict=True)
        )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    _main()
