"""Text of PDF files."""

from __future__ import annotations

import io
import logging
import re
import unicodedata

from kpray.errors import RejectedDocument

_WORD_BEFORE_BREAK = re.compile(r"(?<![\w-])([^\W\d_]+)[-\u2010]\n(?=([^\W\d_]))")
_HYPHEN_AT_BREAK = re.compile(r"(?<=\w)([-\u2010])\n")
_SOFT_HYPHEN = "\u00ad"
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}


def pdf_text(contents: bytes, max_characters: int) -> str:
    """Text of all pages of a PDF as one line; words that were hyphenated at a line break are joined.

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
    text = join_lines("\n".join(pages))
    if not text:
        raise RejectedDocument("the PDF has no text; if its pages are scans, run OCR first")
    return text


def join_lines(text: str) -> str:
    r"""Join lines into one, and join words that were hyphenated at a line break.

    `rein-\nforcement` becomes `reinforcement`. The hyphen is kept before a capital letter and in a word with another
    hyphen (`state-of-the-\nart`). Ligatures become letters.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # some fonts give lone surrogates
    text = "\n".join(line.strip() for line in text.translate(_LIGATURES).splitlines() if line.strip())
    text = text.replace(_SOFT_HYPHEN + "\n", "").replace(_SOFT_HYPHEN, "")
    text = _WORD_BEFORE_BREAK.sub(lambda match: match[1] if match[2].islower() else match[0], text)
    return " ".join(_HYPHEN_AT_BREAK.sub(r"\1", text).split())
