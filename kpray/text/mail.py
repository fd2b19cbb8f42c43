"""Mail in a text: headers, quotation marks and signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, Edit

_FIELD = (
    r"(?:From|To|Cc|Bcc|Subject|Date|Sent|Reply-To|Received|Message-ID|Return-Path|In-Reply-To|References|Delivered-To"
    r"|MIME-Version|Content-[a-z-]+|X-[a-z-]+|User-Agent|List-[a-z-]+|Organization|Newsgroups|Lines"
    r"|Von|An|Betreff|Gesendet|Datum|De|À|Objet|Envoyé|Para|Asunto|Enviado|Fecha|Data|Assunto):"
)
# At least two fields. A long field goes on in lines that begin with white space.
_HEADERS = re.compile(
    rf"(?:^(?:[-_]{{3,}}[^\n]{{0,60}}\n)?|(?<=\. )(?=(?:From|To|Subject|Date):))"
    rf"(?:{_FIELD}[^\n]*+(?:\n|\Z)(?:[ \t]+[^\n]++(?:\n|\Z))*+){{2,}}+",
    re.MULTILINE | re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"^(?:Subject|Betreff|Objet|Asunto|Assunto):[ \t]*(?:(?:re|fwd?|aw|wg)(?:\[\d+\])?:[ \t]*)*+([^\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
# The line "-- " begins a signature, which ends at an empty line; "--" may be a rule, except near the end of the text.
_SIGNATURE = re.compile(
    r"^-- \r?\n(?:[^\n]*(?:\n|\Z)){0,12}?(?=\n|\Z)|^--\r?\n(?:[^\n]*(?:\n|\Z)){0,6}\Z", re.MULTILINE
)
_DEVICE = re.compile(
    r"^(?:Sent from my|Sent via|Get Outlook for|Von meinem \w+ gesendet|Envoyé de mon)\b[^\n]{0,80}$"
    r"|^ ?-- [^\n<]{1,80}<[^\s<>]{1,100}@[^\s<>]{1,100}>[^\n]{0,60}$",  # an entry of a changelog
    re.MULTILINE,
)
_ATTRIBUTION = re.compile(
    r"^(?:On|Am|Le)\b[^\n]{5,150}(?:\n[^\n]{0,100})?(?:wrote|schrieb|a écrit)[^\n:]{0,60}:[ \t\r]*$", re.MULTILINE
)
_QUOTE = re.compile(r"^(?:[ \t]?>)+[ \t]?", re.MULTILINE)
_ANY = re.compile(
    rf"^(?:{_FIELD}| ?--[ \t]|--\r?$|Sent |Get |Von |Envoyé |[ \t]?>)|(?:wrote|schrieb|écrit)[^\n:]{{0,60}}:",
    re.MULTILINE | re.IGNORECASE,
)


def mail_edits(text: str) -> Iterator[Edit]:
    """Leave out headers except the subject, signatures, and the marks of quotations."""
    if "\n" not in text or not _ANY.search(text):
        return
    spans = []
    for match in _HEADERS.finditer(text):
        subject = _SUBJECT.search(match[0])
        if subject:
            start, end = (match.start() + offset for offset in subject.span(1))
            spans += [(match.start(), start), (end, match.end())]
        else:
            spans.append(match.span())
    for pattern in (_SIGNATURE, _DEVICE, _ATTRIBUTION):
        spans += [match.span() for match in pattern.finditer(text)]
    edits = [Edit(*span, BLOCK_END) for span in spans] + [Edit(*match.span(), "") for match in _QUOTE.finditer(text)]
    done = 0
    for edit in sorted(edits):
        if done <= edit.start < edit.end:
            yield edit
            done = edit.end
