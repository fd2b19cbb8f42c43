"""PDF files: running headers, narrow gaps, hyphens, the title block, scans."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from kpray.corpus import pdf_pages
from kpray.corpus.pdf import pdf_text
from kpray.corpus.pdf_layout import Line, Page, block_ends, running_lines
from kpray.errors import RejectedDocument
from tests.corpus.minimal_pdf import pdf_of


def page_pdf(contents: Sequence[str], resources: str = "", objects: Sequence[str] = ()) -> bytes:
    """A PDF whose pages have these content streams; `resources` may name the objects from number 3 + 2 * pages on."""
    count = len(contents)
    kids = " ".join(f"{3 + 2 * page} 0 R" for page in range(count))
    found = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {count} >>"]
    font = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >>"
    for page, content in enumerate(contents):
        found.append(
            f"<< /Type /Page /Parent 2 0 R /Resources << {font} {resources} >> /MediaBox [0 0 612 792] "
            f"/Contents {4 + 2 * page} 0 R >>"
        )
        found.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    found += objects
    return pdf_of(found)


def shown(lines: Sequence[tuple[float, float, float, str]]) -> str:
    """A content stream of lines: x, y, size and the operand of TJ."""
    return " ".join(f"BT /F1 {size} Tf {x} {y} Td [{text}] TJ ET" for x, y, size, text in lines)


def read(contents: bytes, max_seconds: int = 60) -> str:
    return pdf_text(contents, "en", max_characters=2_000_000, max_seconds=max_seconds)


def text_of(*pages: Sequence[tuple[float, float, float, str]]) -> str:
    return read(page_pdf([shown(page) for page in pages]))


def test_headers_and_footers_that_repeat_are_left_out() -> None:
    sentences = ["Bees see polarised light.", "Wasps build paper nests.", "Ants follow odour trails."]
    pages = [
        [
            (72, 760, 9, "(Insect Letters, volume 12)"),
            (72, 700, 12, f"({sentence})"),
            (72, 30, 9, f"(Page {number} of 3)"),
            (400, 30, 9, "(insects.example)"),
        ]
        for number, sentence in enumerate(sentences, start=1)
    ]
    assert text_of(*pages) == " ".join(sentences)


def test_header_with_another_title_and_the_number_of_the_page_is_left_out() -> None:
    titles = ["Bees", "Wasps", "Ants and termites"]
    pages = [
        [(72, 760, 9, f"({title} {number})"), (72, 600, 12, f"({title} live in colonies.)")]
        for number, title in enumerate(titles, start=17)
    ]
    assert (
        " ".join(text_of(*pages).split())
        == "Bees live in colonies. Wasps live in colonies. Ants and termites live in colonies."
    )


def test_title_that_is_also_the_running_header_stays() -> None:
    first = [(72, 740, 18, "(The dance of bees and)"), (72, 718, 18, "(of their queens)"), (72, 600, 12, "(One.)")]
    pages = [
        [(72, 760, 9, "(The dance of bees and)"), (72, 600, 12, f"({text}.)")] for text in ("Two", "Three", "Four")
    ]
    assert text_of(first, *pages).split("\n\n")[0] == "The dance of bees and of their queens"
    assert text_of(first, *pages).count("dance") == 1


def test_headings_with_numbers_of_their_own_stay() -> None:
    pages = [
        Page([Line(f"Example {number}", 740, 752, 12, page), Line("body", 400, 412, 12, page)], bottom=0, top=792)
        for page, number in enumerate([2, 5, 6, 9])
    ]
    assert running_lines(pages) == set()


def test_numbers_of_pages_in_roman_letters_are_left_out() -> None:
    pages = [
        Page([Line("body", 400, 412, 12, page), Line(number, 30, 42, 12, page)], bottom=0, top=792)
        for page, number in enumerate(["ii", "iii", "iv"])
    ]
    assert running_lines(pages) == {(0, 1), (1, 1), (2, 1)}


def test_fonts_without_letters_are_named() -> None:
    with pytest.raises(RejectedDocument, match=r"^the fonts of the PDF do not say which letters they show; run OCR"):
        text_of([(72, 700, 12, r"(b\251\256s s\256\256 \251\256gh\251)")])


def test_document_of_equal_pages_is_not_empty() -> None:
    assert text_of(*[[(72, 700, 12, "(Bees live in colonies.)")] for _ in range(3)])


def test_lines_that_repeat_in_the_middle_of_pages_stay() -> None:
    pages = [[(72, 400, 12, "(Bees see polarised light.)")] for _ in range(3)]
    assert text_of(*pages).count("polarised") == 3


def test_first_lines_that_differ_stay() -> None:
    pages = [
        Page([Line(text, 740, 752, 12, number), Line("body", 400, 412, 12, number)], bottom=0, top=792)
        for number, text in enumerate(["One begin 2001", "Another 7", "A third 12"])
    ]
    assert running_lines(pages) == set()


def test_words_with_narrow_gaps_between_them_are_apart() -> None:
    words = "Inspect the hydraulic pumps and their pressure valves".split()
    assert text_of([(72, 700, 12, " -130 ".join(f"({word})" for word in words))]) == " ".join(words)


def test_letters_that_are_spaced_or_kerned_stay_one_word() -> None:
    spaced = " -130 ".join(f"({letter})" for letter in "thermodynamics")
    kerned = "(ther) 40 (mody) -30 (nami) 25 (cally)"
    assert text_of([(72, 700, 12, spaced)]) == "thermodynamics"
    assert text_of([(72, 700, 12, kerned)]) == "thermodynamically"


def test_hyphens_at_line_ends() -> None:
    lines = [
        "The tides deter-",
        "mine a long-",
        "term balance of α2-",
        "integrin and of price-",
        "determining factors.",
    ]
    text = text_of([(72, 700 - 14 * row, 12, f"({line})".replace("α", "a")) for row, line in enumerate(lines)])
    assert text == "The tides determine a long-term balance of a2-integrin and of price-determining factors."


def test_title_authors_and_affiliations_are_blocks() -> None:
    text = text_of(
        [
            (150, 720, 18, "(Polarised light as a)"),
            (150, 700, 18, "(compass for honey bees)"),
            (200, 670, 11, "(Ada Example and Bo Sample)"),
            (200, 656, 11, "(Institute of Insect Studies)"),
            (200, 642, 11, "(University of Exampletown)"),
            (72, 610, 11, "(Abstract)"),
            (72, 596, 11, "(Bees see the direction of polarised light and use it to)"),
            (72, 582, 11, "(find their way home when clouds hide the sun.)"),
        ]
    )
    assert text.split("\n\n") == [
        "Polarised light as a compass for honey bees",
        "Ada Example and Bo Sample",
        "Institute of Insect Studies",
        "University of Exampletown",
        "Abstract",
        "Bees see the direction of polarised light and use it to find their way home when clouds hide the sun.",
    ]


def test_cells_of_a_table_are_blocks() -> None:
    text = text_of([(72, 700, 12, "(queen)"), (300, 700, 12, "(lays eggs)"), (72, 686, 12, "(worker)")])
    assert text == "queen\n\nlays eggs\n\nworker"


def test_a_block_does_not_end_with_a_page() -> None:
    lines = [Line("goes on", 60, 72, 12, page=0), Line("here", 700, 712, 12, page=1), Line("and here", 686, 698, 12, 1)]
    assert block_ends(lines) == set()


IMAGE = (
    "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\n"
    "stream\nA\nendstream"
)
SCAN = "q 612 0 0 792 0 0 cm /Im1 Do Q "


def test_scans_are_named_also_with_a_stamp() -> None:
    stamp = shown([(400, 760, 9, "(Received 12 May, archive 7)")])
    for contents, reason in [
        ([SCAN], "the pages of the PDF are scans; run OCR first"),
        (
            [SCAN + stamp, SCAN + stamp, SCAN + stamp],
            "the pages of the PDF are scans; its only text is a stamp: 'Received 12 May, archive 7'; run OCR first",
        ),
    ]:
        with pytest.raises(RejectedDocument) as raised:
            read(page_pdf(contents, f"/XObject << /Im1 {3 + 2 * len(contents)} 0 R >>", [IMAGE]))
        assert raised.value.reason == reason


def test_scan_with_the_text_of_an_ocr_is_read() -> None:
    ocr = shown([(72, 700 - 14 * row, 12, "(Bees see the direction of polarised light.)") for row in range(8)])
    text = read(page_pdf([SCAN + ocr], "/XObject << /Im1 5 0 R >>", [IMAGE]))
    assert text.count("polarised") == 8


def test_page_that_stands_between_scans_is_read() -> None:
    pages = [SCAN, shown([(72, 700, 12, "(Bees see the direction of polarised light.)")])]
    assert "polarised" in read(page_pdf(pages, "/XObject << /Im1 7 0 R >>", [IMAGE]))


def test_installed_manual() -> None:
    file = Path("/usr/share/doc/shared-mime-info/shared-mime-info-spec.pdf")
    if not file.exists():
        pytest.skip("needs the manual of the package shared-mime-info")
    text = read(file.read_bytes())
    assert "MIME" in text
    assert max(len(word) for word in text.split() if word.isalpha()) < 30


def bomb(levels: int) -> bytes:
    """A page that draws a form ten times, which draws another form ten times, and so on."""
    font = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    found = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>",
        "<< /Length 50 >>\nstream\n" + "/F Do " * 10 + "\nendstream",
    ]
    for level in range(levels):
        last = level == levels - 1
        content = "BT /F1 9 Tf 72 72 Td (graph) Tj ET" if last else "/F Do " * 10
        inside = font if last else f"/XObject << /F {6 + level} 0 R >>"
        found.append(
            f"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << {inside} >> /Length {len(content)} >>\n"
            f"stream\n{content}\nendstream"
        )
    return pdf_of(found)


def test_a_small_file_cannot_occupy_a_reader() -> None:
    with pytest.raises(RejectedDocument) as raised:
        read(bomb(12), max_seconds=1)
    assert raised.value.reason == "the PDF takes more than 1 seconds to read (limits.max_seconds)"
    assert "graph" in read(bomb(1))


def test_a_file_that_crashes_the_reader_is_rejected() -> None:
    read(bomb(1))
    [process] = pdf_pages._process
    process.kill()
    process.wait()
    assert "graph" in read(bomb(1))  # a new process reads
    [process] = pdf_pages._process
    killer = threading.Timer(0.3, process.kill)
    killer.start()
    with pytest.raises(RejectedDocument, match="ends the process that reads it"):
        read(bomb(12))
    killer.join()
    assert "graph" in read(bomb(1))


def test_a_bug_in_the_reader_is_an_internal_error() -> None:
    with pytest.raises(pdf_pages.PDFError, match="TypeError"):
        pdf_pages.read_pages(bomb(1), None, 60)  # type: ignore[arg-type]
