"""Detection of documents that are also in another collection, such as a test set (`--exclude`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from kpray.corpus.limits import Reading
from kpray.corpus.records import Reject, read_records
from kpray.document import Document

_MIN_TITLE_WORDS = 4  # many documents have short titles such as "Introduction" or "Editorial"
_BODY_WORDS = 30
_WORD = re.compile(r"\w+")


def fingerprints(document: Document) -> set[str]:
    """Checksums of the title and of the first words of the body, without case, punctuation, and words with digits.

    Two documents with a common fingerprint count as the same document. Short titles and short bodies have no
    fingerprint.
    """
    title, body = (
        [word for word in _WORD.findall(text.lower()) if not any(letter.isdigit() for letter in word)]
        for text in (document.title, document.body)
    )
    parts = [title] if len(title) >= _MIN_TITLE_WORDS else []
    if len(body) >= _BODY_WORDS:
        parts.append(body[:_BODY_WORDS])
    return {hashlib.blake2b(" ".join(part).encode("utf-8", "replace"), digest_size=8).hexdigest() for part in parts}


def read_fingerprints(paths: Sequence[str], reading: Reading) -> frozenset[str]:
    """Fingerprints of all documents in files and folders.

    Raises:
        UserError: a file cannot be read.
    """
    records = (record for record in read_records(paths, reading) if not isinstance(record, Reject))
    return frozenset(found for record in records for found in fingerprints(record.document))
