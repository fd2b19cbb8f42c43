"""Size limits of records, and the settings of all commands that read documents."""

from __future__ import annotations

from pydantic import PositiveInt

from kpray.settings import Settings


class Limits(Settings):
    """Limits on the size of a record. Larger records are rejected, so that one bad file cannot fill the memory."""

    max_record_bytes: PositiveInt = 16 * 1024 * 1024
    """Maximum size of a record in bytes. A record is a line, a row, or a whole text, Markdown or PDF file."""
    max_characters: PositiveInt = 2_000_000
    """Maximum length of a document, title and body, in characters."""


class ReadingSettings(Settings):
    """Settings of every command that reads documents."""

    lang: str = "auto"
    """Language of documents whose record has no `lang` field: a code (`en`, `zh_CN`), an English name, or `auto`, which
    detects it from the text."""
    limits: Limits = Limits()
