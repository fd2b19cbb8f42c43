"""Text of PDF files."""

from __future__ import annotations

import io
import logging
import unicodedata

from kpray.errors import RejectedDocument
from kpray.text.languages import primary_language
from kpray.text.line_ends import heading_breaks, hyphen_edits

_SOFT_HYPHEN = "\u00ad"
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}


def pdf_text(contents: bytes, max_characters: int, lang: str) -> str:
    """Text of all pages of a PDF without its line breaks; words that were hyphenated at a line break are joined.

    Reading stops after the page with which the text exceeds `max_characters`.

    Raises:
        RejectedDocument: the PDF is damaged, needs a password, or has no text.
    """
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # its warnings are about damage that it repaired
    pages: list[str] = []
    characters = 0
    try:
        reader = pypdf.PdfReader(io.BytesIO(contents))
        for page in reader.pages:
            pages.append(page.extract_text())
            characters += len(pages[-1])
            if characters > max_characters:
                break
    except pypdf.errors.FileNotDecryptedError as error:
        raise RejectedDocument("the PDF is protected by a password") from error
    except Exception as error:  # pypdf raises many types of errors for damaged files
        raise RejectedDocument(f"the PDF cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
    text = join_lines("\n".join(pages), lang)
    if not text:
        raise RejectedDocument("the PDF has no text; if its pages are scans, run OCR first")
    return text


def join_lines(text: str, lang: str) -> str:
    r"""Join lines into one, except at the end of a heading, and join words that were hyphenated at a line break.

    `rein-\nforcement` becomes `reinforcement`; see `hyphen_edits` for hyphens that stay. An empty line separates a
    heading from the text after it. Ligatures become letters.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # some fonts give lone surrogates
    lines = [line.strip() for line in text.translate(_LIGATURES).splitlines() if line.strip()]
    if not lines:
        return ""
    ends = [
        "\n\n" if heading and not line.endswith(("-", "\u2010", _SOFT_HYPHEN)) else "\n"
        for line, heading in zip(lines, heading_breaks(lines), strict=False)
    ]
    text = "".join(line + end for line, end in zip(lines, [*ends, ""], strict=True))
    text = text.replace(_SOFT_HYPHEN + "\n", "").replace(_SOFT_HYPHEN, "")
    parts, done = [], 0
    for start, end, replacement in hyphen_edits(text, primary_language(lang)):
        parts += [text[done:start], replacement]
        done = end
    paragraphs = [" ".join(paragraph.split()) for paragraph in "".join([*parts, text[done:]]).split("\n\n")]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
