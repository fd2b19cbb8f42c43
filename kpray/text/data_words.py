"""Words that are data: times, versions, checksums, account numbers, file names and qualified names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import PHRASE_END, Edit

_TYPES = (
    "plain|html|rfc822|rfc822-headers|octet-stream|json|pdf|png|jpe?g|gif|mixed|alternative|report|delivery-status|xml"
    "|csv|css|javascript|digest|related|x-[a-z-]+|svg\\+xml|event-stream"
)
_FILE = (
    "py|pyc|java|cpp|cc|hpp|rs|rb|php|sh|ts|tsx|jsx|json|ya?ml|toml|ini|cfg|conf|txt|md|rst|html?|css|xml|csv|tsv|patch"
    "|diff|tar|gz|zip|exe|dll|deb|rpm|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|svg|vim|texi|tcl|log|m4"
)
_CITED = (
    r"[A-Z][\w'’-]{1,30}(?:(?:,? and |,? & |, |[ -])[A-Z][\w'’.-]{0,30}){0,8}(?:,? et al\.?)?,? (?:19|20)\d\d[a-z]?"
    r"(?:, (?:19|20)\d\d[a-z]?)*(?:, pp?\. ?\d+(?:[-–]\d+)?)?"
)
_NUMBERS = re.compile(
    # times: 2024-03-05T10:22:01Z, 10:22:01,123, 05/Mar/2024
    r"(?<![\w.-])\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?:Z|[ ]?[+-]\d\d:?\d\d)?(?![\w-])"
    r"|(?<![\w.:])\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?(?: ?[AP]M)?| ?[AaPp]\.?[Mm]\b)(?: ?\((?:UTC"
    r"|GMT)[^()\n]{0,10}\))?"
    r"|(?<![\w/])\d{1,2}/[A-Z][a-z]{2}/\d{4}(?::\d\d){0,3}"
    r"|\b(?:GMT|UTC) ?[+-]\d{1,2}(?::?\d\d)?\b"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? \d{1,2} [A-Z][a-z]{2} \d{4}(?: \d\d:\d\d(?::\d\d)?)?(?: [+-]\d{4})?"
    # versions: v2.3.1-rc.2, 1.1.1w, >=3.9,<4
    r"|(?<![\w./-])(?:[<>=~^!]=?)?(?:v\d{1,9}(?:\.\d{1,9})*|\d{1,9}(?:\.\d{1,9}){2,5})(?:[-+~.]?[A-Za-z0-9]{1,30}){0,6}"
    r"(?<!\.)(?![\w/-])"
    # checksums and identifiers
    r"|(?<![\w-])(?:sha\d{1,3}:|md5:|0x)?(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}"
    r"|(?=[A-F]*\d)(?=\d*[A-F])[0-9A-F]{16,})(?![\w-])"
    r"|(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"
    r"|(?<![\w:])(?=[0-9a-f:]*[a-f])[0-9a-f]{1,4}:(?:[0-9a-f]{0,4}:){2,6}[0-9a-f]{1,4}(?![\w:])"
    r"|\bdata:[a-z]+/[\w.+-]+;base64,[A-Za-z0-9+/=]*"
    r"|(?<![\w/+])(?=[A-Za-z+/]*\d)(?=[a-z0-9+/]*[A-Z])(?=[A-Z0-9+/]*[a-z])[A-Za-z0-9+/]{40,}={0,2}"
    # accounts, cards and tax numbers; tickets
    r"|(?:\bIBAN:? )?\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b|\b\d{4}(?:[ -]\d{4}){3}\b"
    r"|\b(?:BIC|SWIFT)(?:[ -]?[Cc]ode)?:? [A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b|(?:\bVAT (?:ID "
    r"|No\.? )?)?\b[A-Z]{2}\d{8,12}\b"
    r"|\[[A-Z][A-Z0-9]{1,9}-\d{1,6}\]|\bGH-\d{1,6}\b|\((?:Closes|LP|Fixes): ?#\d+(?:, ?#\d+)*\)"
    r"|\barXiv:\d{4}\.\d{4,5}(?:v\d+)?"
    # citations with the year: (Smith et al., 2019; Lee & Ray, 2020, p. 14)
    rf"|\((?:see |cf\. |e\.g\.,? )?{_CITED}(?:; ?{_CITED}){{0,20}}\)"
)
_NAMES = re.compile(
    # types of contents, file names, and names with three parts or more
    rf"\b(?:text|application|multipart|image|audio|video|message)/(?:{_TYPES})\b"
    rf"|(?<![\w@/.-])(?=[\w.+-]*[A-Za-z])(?:[\w.+@-]{{1,80}}/)*[\w.+@-]{{2,80}}\.(?:{_FILE})(?:\.gz)?(?![\w/]|\.\w)"
    r"|(?<![\w@/.-])(?:[\w.+@-]{1,80}/){1,20}[\w+@-]{1,80}\.[a-z]{1,10}\d?(?![\w/-])"
    r"|(?<![\w@/.-])(?:[\w.+@-]{1,80}/)+(?=[\w-]*_)[\w-]{2,80}(?![\w/])|\b[A-Za-z]:\\[^\s,;\"'<>|)]+"
    r"|(?<![\w@/.-])(?:(?:\$\{?\w{1,40}\}?|debian|usr|etc|var)/|(?:d|src|docs?|tests?|lib|include|bin|scripts)/[\w+@-]+/)"
    r"[\w+@-]+(?:[./][\w+@-]+)*(?![\w/])"
    r"|(?<![\w@/.-])(?=[\w.]*[a-zA-Z]{3})[A-Za-z_$]\w{0,60}(?:\.[A-Za-z_$][\w$]{0,60}){2,10}(?:\([^()\n]{0,80}\))?"
    r"|(?<![\w.])[A-Za-z_]\w{1,60}\.[a-z_]\w{1,60}\([^()\n]{0,80}\)"
    r"|(?<!\S):[a-z][\w+-]{1,30}:(?!\S)"  # the name of an emoji
    # a setting
    r"|(?<![\w=<>&?/-])[A-Za-z_][\w.-]{1,40}=[A-Za-z][\w./:-]{1,60}(?!\w)"
)
_ANY_NUMBER = re.compile(
    r"(?:GMT|UTC) ?[+-]\d"
    r"|\d(?:-\d\d-\d|:\d\d|/[A-Z][a-z]{2}/|\.\d+\.\d| [A-Z][a-z]{2} \d{4}|\d{3}[ -]\d{4}\b|\d?[a-f][0-9a-f]{2})"
    r"|v(?<![A-Za-z]v)\d|[A-Z](?:[A-Z]\d\d|[A-F0-9]{15}|-\d{1,6}\])|GH-\d|-[0-9A-F]{2}-[0-9A-F]{2}-"
    r"|:(?: ?#\d|\d{4}\.|[0-9A-Fa-f]{0,4}:|[a-z]+/)|, (?:19|20)\d\d[a-z]?[);,]"
)
_ANY_NAME = re.compile(
    r":[a-z][\w+-]{1,30}:|[./=\\](?:[a-z_]\w|(?<=[a-z0-9_-]/)[\w+@-]*[._]|(?<=\w=)[A-Za-z]|(?<=:\\)\w)"
)
_LONGEST = 40  # characters of a word; longer ones are looked at


def number_edits(text: str) -> Iterator[Edit]:
    """Times, versions, checksums and account numbers."""
    if _ANY_NUMBER.search(text) or max(map(len, text.split()), default=0) >= _LONGEST:
        for match in _NUMBERS.finditer(text):
            yield Edit(*match.span(), PHRASE_END)


def name_edits(text: str) -> Iterator[Edit]:
    """Names of files, of types of contents and of parts of programs; settings."""
    if _ANY_NAME.search(text):
        for match in _NAMES.finditer(text):
            yield Edit(*match.span(), PHRASE_END)
