"""Size limits of records, and the settings of all commands that read documents."""

from __future__ import annotations

from typing import Any

from pydantic import PositiveInt, field_validator

from kpray.settings import Settings

AUTO_ENCODING = "auto"  #: UTF-8, or what the first bytes of a file look like


class Limits(Settings):
    """Limits on the size of a record. Larger records are rejected, so that one bad file cannot fill the memory."""

    max_record_bytes: PositiveInt = 16 * 1024 * 1024
    """Maximum size of a record in bytes. A record is a line, a row, or a whole text, Markdown, HTML or PDF file."""
    max_characters: PositiveInt = 2_000_000
    """Maximum length of a document, title and body, in characters."""
    max_seconds: PositiveInt = 60
    """Maximum processor time for reading a PDF, in seconds."""


def is_encoding(name: str) -> bool:
    """Whether Python has an encoding of text with this name."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


class ReadingSettings(Settings):
    """Settings of every command that reads documents."""

    lang: str = "auto"
    """Language of documents whose record has no `lang` field: a code (`en`, `zh_CN`), an English name, or `auto`, which
    detects it from the text."""
    text_field: tuple[str, ...] = ()
    """Columns or fields with the text, instead of `abstract`, `text` and the other usual names."""
    title_field: str | None = None
    """Column or field with the title. If null, `title`."""
    id_field: str | None = None
    """Column or field with the id. If null, `id` and the other usual names."""
    encoding: str = AUTO_ENCODING
    """Encoding of text files, such as `cp1252`. `auto` reads UTF-8 and UTF-16, and detects others."""
    follow_links: bool = False
    """Read links inside a folder that lead out of the folder. If false, they are rejected."""
    limits: Limits = Limits()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        if encoding != AUTO_ENCODING and not is_encoding(encoding):
            raise ValueError("unknown encoding: give one that Python has, such as cp1252 or utf-16")
        return encoding

    def reading(self, **more: Any) -> Reading:
        """These settings for the readers, with the given values of the fields that only `Reading` has."""
        return Reading(**{name: getattr(self, name) for name in ReadingSettings.model_fields}, **more)


class Reading(ReadingSettings):
    """How documents are read: everything that a record depends on, apart from its file."""

    keep: tuple[str, ...] = ()
    """Columns or fields that go into the record's metadata."""
    gold: bool = True
    """Read gold keyphrases, and reject records whose gold keyphrases have a wrong type."""
    input_format: str = "auto"
    """Format of standard input; `auto` recognises it."""
