"""Size limits of records, and the settings of all commands that read documents."""

from __future__ import annotations

from pydantic import PositiveInt

from kpray.settings import Settings


class Limits(Settings):
    """Sizes beyond which a record is rejected instead of read, so that one bad file cannot fill the memory."""

    max_record_bytes: PositiveInt = 16 * 1024 * 1024
    """Largest record in bytes: a line, a row, or a whole text, Markdown or PDF file."""
    max_characters: PositiveInt = 2_000_000
    """Longest text of one document, title and body, in characters."""


class ReadingSettings(Settings):
    """What every command takes that reads documents."""

    lang: str = "en"
    """Language of records that name none."""
    limits: Limits = Limits()
