"""Mail in a text: headers, quotation marks and signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, Edit, without_overlaps

_FIELD = (
    r"(?:From|To|Cc|Bcc|Subject|Date|Sent|Reply-To|Received|Message-ID|Return-Path|In-Reply-To|References|Delivered-To"
    r"|MIME-Version|Content-[a-z-]+|X-[a-z-]+|User-Agent|List-[a-z-]+|Organization|Newsgroups|Lines"
    r"|[A-Z][a-z]{1,20}(?:-[A-Za-z]{2,20}){1,4}|Sender|Precedence|Action|Status|Importance|Attachments|Boundary"
    r"|Von|An|Betreff|Gesendet|Datum|De|À|Objet|Envoyé|Para|Asunto|Enviado|Fecha|Data|Assunto):"
)
# At least two fields. A long field goes on in lines that begin with white space.
_HEADERS = re.compile(
    rf"(?:^(?:[-_]{{3,}}[^\n]{{0,60}}\n)?|(?<=\. )(?=(?:From|To|Subject|Date):))"
    rf"(?:{_FIELD}[^\n]*+(?:\n|\Z)(?:[ \t]+[^\n]++(?:\n|\Z))*+){{2,}}+",
    re.MULTILINE | re.IGNORECASE,
)
_PART = re.compile(  # of a message with several parts: its boundary, and its only header
    r"^--[\w'()+,./:?=-]{6,70}[ \t\r]*$|^(?:Content-[a-z-]+|MIME-Version):[^\n]*(?:\n[ \t]+[\w-]+=[^\n]*)*$"
    r"|^From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [^\n]{0,40}$",
    re.MULTILINE | re.IGNORECASE,
)
_MARK = r"^(?:[ \t]?>)*[ \t]*"
_GREETING = re.compile(
    _MARK
    + r"(?:Hi|Hello|Hey|Dear)(?: [A-Z][\w.-]{1,20}){1,3}[ \t\r]*$(?=\n[ \t>\r]*\n)|"
    + _MARK
    + r"(?:Hi|Hello|Hey|Dear|Good (?:morning|afternoon|evening)|Hallo|Liebe[r]?|Sehr geehrte[r]?|Bonjour|Hola)"
    r"\b[^\n,!?]{0,40}[,!][ \t\r]*$",
    re.MULTILINE,
)
# A closing line, and the lines of the name under it.
_CLOSING = re.compile(
    _MARK + r"(?-i:(?=[A-Z]))(?:(?:with )?(?:(?:kind|best|warm)(?:est)?|many|with)?"
    r" ?(?:regards|wishes|thanks|greetings)"
    r"|thank you(?: (?:very|so) much)?|thanks(?: (?:again|a lot|in advance))?|cheers|sincerely|yours (?:sincerely"
    r"|faithfully"
    r"|truly)|best(?=,)|all the best|take care|mit freundlichen gr(?:ü|ue)(?:ß|ss)en|viele gr(?:ü|ue)(?:ß|ss)e"
    r"|cordialement)"
    r"[,.!]{0,3}[ \t\r]*$(?:\n[ \t>\r]*(?=\n))?(?:\n(?!On |Am |Le |-|>*[ \t\r]*$)[^\n]{1,80}(?<![.!?]))"
    r"{0,8}(?:\n[ \t\r]*\n(?:[^\n]{1,80}\n){0,3}?[^\n]{0,80}(?:[ ]\|[ ]|@|[+(]?\d[\d ()-]{6,20}\d)[^\n]{0,80}"
    r"(?:\n(?!On |>)[^\n]{1,80}){0,3}(?=\n|\Z))?"
    r"(?=\n[ \t>\r]*(?:\n|\Z)|\n-|\n>|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
# The rest of a paragraph, and whether it has a word.
_REST = r"[^\n]*(?:\n(?![ \t\r]*\n)[^\n]*){0,20}"
_NOTICE = re.compile(  # a paragraph about the message itself
    rf"(?:(?<=\n\n)|(?<=\n\r\n)|(?<=[-_*=]\n)|(?<=[-_*=]\r\n))"
    rf"(?={_REST}?(?:intended|confidential|privileged|consider the environment|unsubscribe))"
    rf"(?={_REST}?(?:(?:this|the contents of this)\s(?:e-?mail|message|transmission)|printing|mailing list"
    rf"|unsubscribe))"
    rf"{_REST}",
    re.IGNORECASE,
)
# The name alone under a mail that begins with a greeting.
_NAME = re.compile(
    r"(?<=\n)[ \t>\r]*\n[ \t>]*(?:(?:[A-Z]\.|[A-Z][\w'’-]{1,20}) ?){1,3}[ \t\r]*(?=\n[ \t>\r]*\n|\n--|\s*\Z)"
)
_LIST_FOOTER = re.compile(
    r"^_{20,}[ \t\r]*\n(?=(?:[^\n]*\n){0,8}?[^\n]*(?:list|subscribe))(?:[^\n]*(?:\n|\Z)){0,10}\Z", re.MULTILINE
)
_NOTICE_WORDS = re.compile(r"intended|confidential|privileged|the environment|unsubscribe", re.IGNORECASE)
_SUBJECT = re.compile(
    r"^(?:Subject|Betreff|Objet|Asunto|Assunto):[ \t]*(?:(?:(?:re|fwd?|aw|wg)(?:\[\d+\])?:"
    r"|\[[\w .-]{1,40}\])[ \t]*)*+([^\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
# The line "-- " begins a signature, which ends at an empty line; "--" may be a rule, except near the end of the text.
_SIGNATURE = re.compile(
    r"^-- \r?\n(?:[^\n]*(?:\n|\Z)){0,12}?(?=\n|\Z)|^--\r?\n(?:[^\n]*(?:\n|\Z)){0,6}\Z", re.MULTILINE
)
_DEVICE = re.compile(
    r"^Begin forwarded message:[ \t\r]*$"
    r"|^(?:Sent from my|Sent via|Get Outlook for|Von meinem \w+ gesendet|Envoyé de mon)\b[^\n]{0,80}$"
    r"|^ ?-- [^\n<]{1,80}<[^\s<>]{1,100}@[^\s<>]{1,100}>[^\n]{0,60}$",  # an entry of a changelog
    re.MULTILINE,
)
_ATTRIBUTION = re.compile(
    r"^(?:On|Am|Le)\b[^\n]{5,150}(?:\n[^\n]{0,100})?(?:wrote|schrieb|a écrit)[^\n:]{0,60}:[ \t\r]*$", re.MULTILINE
)
_QUOTE = re.compile(r"^(?:[ \t]?>)+[ \t]?", re.MULTILINE)
_ANY = re.compile(
    rf"^(?:{_FIELD}| ?--|__|Begin |Sent |Get |Von |Envoyé |[ \t]?>|Hi|Hello|Hey|Dear|Good |Hallo|Lieb|Sehr |Bonjour"
    r"|Hola|with |kind|best|warm|many |thank|cheers|sincerely|yours|regards|take care|all the best|mit |viele |cordial)"
    r"|(?:wrote|schrieb|écrit)[^\n:]{0,60}:|" + _NOTICE_WORDS.pattern,
    re.MULTILINE | re.IGNORECASE,
)


def mail_edits(text: str) -> Iterator[Edit]:
    """Leave out headers except the subject, greetings, signatures, notices, and the marks of quotations."""
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
    patterns = [_PART, _GREETING, _CLOSING, _SIGNATURE, _DEVICE, _ATTRIBUTION, _LIST_FOOTER]
    if _NOTICE_WORDS.search(text):
        patterns.append(_NOTICE)
    if _GREETING.search(text):
        patterns.append(_NAME)
    for pattern in patterns:
        spans += [match.span() for match in pattern.finditer(text)]
    edits = [Edit(*span, BLOCK_END) for span in spans] + [Edit(*match.span(), "") for match in _QUOTE.finditer(text)]
    yield from without_overlaps(edits)
