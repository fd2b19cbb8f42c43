"""Mail in a text: headers, quotation marks and signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, Edit

_NAMES = r"(?:From|To|Cc|Bcc|Subject|Date|Sent|Reply-To|Received|Message-ID|Return-Path|In-Reply-To|References|Delivered-To|MIME-Version|Content-[A-Za-z-]+|X-[A-Za-z-]+|User-Agent|List-[A-Za-z-]+|Organization|Newsgroups|Path|Lines)"
# Two lines or more; a long field goes on in lines that begin with white space.
_HEADERS = re.compile(
    rf"(?:^(?:[-_]{{3,}}.{{0,60}}\n)?|(?<=\. )(?=(?:From|To|Subject|Date):))(?:{_NAMES}:[^\n]*(?:\n|\Z)(?:[ \t]+[^\n]+(?:\n|\Z))*+){{2,}}+",
    re.MULTILINE | re.IGNORECASE,
)
_SUBJECT = re.compile(r"^Subject:[ \t]*((?:(?:re|fwd?|aw|wg)(?:\[\d+\])?:[ \t]*)*+)([^\n]*)", re.MULTILINE | re.IGNORECASE)
_SIGNATURE = re.compile(r"^--[ \t]?\r?\n(?:[^\n]*(?:\n|\Z)){0,12}?(?=\n|\Z)", re.MULTILINE)
_DEVICE = re.compile(r"^(?:Sent from my|Sent via|Get Outlook for|Von meinem \w+ gesendet|Envoyé de mon)\b[^\n]{0,80}$", re.MULTILINE)
_ATTRIBUTION = re.compile(r"^(?:On|Am|Le)\b[^\n]{5,150}(?:\n[^\n]{0,100})?(?:wrote|schrieb|a écrit)[^\n:]{0,60}:[ \t]*$", re.MULTILINE)
_QUOTE = re.compile(r"^(?:[ \t]?>)+[ \t]?", re.MULTILINE)
_ANY = re.compile(rf"^(?:{_NAMES}:|--[ \t]?\r?$|Sent |Get |Von |Envoyé |[ \t]?>)|(?:wrote|schrieb|écrit)[^\n:]*:", re.MULTILINE | re.IGNORECASE)


def mail_edits(text: str) -> Iterator[Edit]:
    """Headers except the subject, signatures, and the marks of quotations."""
    if "\n" not in text or not _ANY.search(text):
        return
    edits = []
    for match in _HEADERS.finditer(text):
        subject = _SUBJECT.search(match[0])
        if subject:
            start, end = (match.start() + offset for offset in subject.span(2))
            edits += [(match.start(), start), (end, match.end())]
        else:
            edits.append(match.span())
    for pattern in (_SIGNATURE, _DEVICE, _ATTRIBUTION):
        edits += [match.span() for match in pattern.finditer(text)]
    quotes = [match.span() for match in _QUOTE.finditer(text)]
    done = 0
    for start, end, replacement in sorted(
        [(*span, BLOCK_END) for span in edits] + [(*span, "") for span in quotes]
    ):
        if start >= done and end > start:
            yield Edit(start, end, replacement)
            done = end
