"""Lines that every text of a kind has: headings of manuals, fields of tickets and changelogs, copyright lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, Edit, without_overlaps

_LEFT_OUT = re.compile(
    r"^[^\w\n]*(?:portions[ ])?copyright\b[^\n\w]{0,5}(?:\(c\)|©|\d{4}|\w+ \d{4})[^\n]*$|^[^\w\n]*©[^\n]*$"
    r"|^[^\w\n]*SPDX-[\w-]+:[^\n]*$|^[^\w\n]*All rights reserved\.?[ \t\r]*$"
    r"|^[ \t]*-*[ ]?page \d+(?: ?(?:of|/) ?\d+)?[ ]?-*[ \t\r]*$|^[ \t]*usage: [^\n]*$|^[ \t]*(?:options"
    r"|usage):[ \t\r]*$"
    r"|^[^\n]{0,40}\b(?:unsubscribe|view (?:this|it) (?:e-?mail|message|newsletter|online|in))\b[^\n]{0,60}$"
    r"|^[^\n]{0,40}\b(?:accept|use|uses) (?:all )?cookies\b[^\n]{0,80}$"
    # labels
    r"|^(?:title|abstract|summary|key ?words?|index terms|description|question|answer|[QA]|note|warning|tip|important"
    r"|caution|hint):(?=[ \t]+\S)"
    r"|^This is a (?:multi-?part message in MIME format|MIME-encapsulated message)\.?[ \t\r]*$"
    # entries of changelogs
    r"|^[ ]*\*[ ](?:team|QA|non-maintainer) upload[^\n]{0,40}$"
    r"|^[a-z0-9][a-z0-9.+-]+ \([^()\n ]+\) [\w ;.-]+; urgency=\w+[^\n]*$"
    r"|^\d{4}-\d\d-\d\d[ \t]+[^\n<>]{1,60}<[^<>\n]{1,80}>[ \t\r]*$"
    r"|^[ ]*\[[ ][^\[\]\n]{2,60}[ ]\][ \t\r]*$"
    r"|(?<=\t)\*[ ](?:[\w./+-]+(?:,[ \n\t]+)?)+(?:[ ]\([^()\n]{1,120}\))?:(?=\s)"
    # fields of tickets, two or more in a row
    r"|(?:^(?:[-*] )?\**(?:Priority|Severity|Status|Assignee|Assigned to|Reporter|Reported by|Labels?|Milestone|Created"
    r"|Updated|Resolved|Resolution|Components?|Type|Affects \w+|Fix \w+|Environment|OS|Browser|Platform|Due|Sprint"
    r"|Epic|Votes|Watchers|Version|Product|Hardware)\**:[^\n]*(?:\n|\Z)){2,}"
    r"|^(?:\#{1,6} |\**)(?:Steps to reproduce|To reproduce|Reproduction steps|Expected (?:results?|behaviou?r|outcome)"
    r"|Actual (?:results?|behaviou?r|outcome)|Describe the bug|Bug description|Screenshots|Additional context"
    r"|Environment)\**:?\**(?=[ \t\r]*$|[ ])",
    re.MULTILINE | re.IGNORECASE,
)
_FILES = re.compile(  # fields of a machine-readable copyright file
    r"^(?:Format|Files(?:-Excluded)?|Copyright|Source|Upstream-\w+|Disclaimer):[^\n]*(?:\n[ \t]+(?!\.$)[^\n]+)*$"
    r"|^License:[ \t]*[\w.+-]+[ \t\r]*$",
    re.MULTILINE,
)
_LICENSE_FIELD = re.compile(r"^License:[^\n]*$", re.MULTILINE)
_MANUAL_TITLE = re.compile(r"^\S+\(\d\w*\)[ \t]{2,}[^\n]*$|^[^\n]*[ \t]{3,}\S+\(\d\w*\)[ \t\r]*$", re.MULTILINE)
_MANUAL_HEADING = re.compile(
    r"^(?:SYNOPSIS|SEE ALSO|AUTHORS?|COPYRIGHT|REPORTING BUGS|GIT)[ \t\r]*\n(?:(?:[ \t]+[^\n]*)?(?:\n|\Z))*"
    r"|^(?:NAME|DESCRIPTION|OPTIONS|FILES|ENVIRONMENT(?: VARIABLES)?|BUGS|EXAMPLES?|EXIT STATUS|RETURN VALUE|ERRORS"
    r"|HISTORY|NOTES|COMMANDS|ARGUMENTS|DIAGNOSTICS|STANDARDS|CONFORMING TO|CAVEATS|WARNINGS?|VERSIONS"
    r"|ATTRIBUTES|USAGE|DISCUSSION)[ \t\r]*$",
    re.MULTILINE,
)
_MANUAL_NAME = re.compile(r"^NAME[ \t\r]*\n[ \t]+\S+(?:, \S+)* [-–—]+ ", re.MULTILINE)
_OPTION = re.compile(r"^[ \t]+-{1,2}\w[^\n]{0,60}$|(?<=[ \[(])-\w(?=[ ,\])=])", re.MULTILINE)
_REFERENCES = re.compile(  # with a year in one of the first lines
    r"^[ \t]*(?:\d{1,2}\.?[ \t]+)?(?:References|REFERENCES|Bibliography|BIBLIOGRAPHY|Works [Cc]ited)[ \t\r]*\n"
    r"(?=\s*(?:\[\w{1,12}\]|\d{1,3}\.[ ]|[-*•][ ]|[A-Z][\w'’-]{1,30},? [A-Z]\.)"
    r"(?:[^\n]*\n){0,6}?[^\n]*\b(?:19|20)\d\d)"
    r"(?:(?![ \t]*A(?:ppendix|PPENDIX))[^\n]*(?:\n|\Z))+",
    re.MULTILINE,
)
_ANY = re.compile(
    r"copyright|MIME| upload"
    r"|cookies|subscribe|this e|\bpage \d|^[ \t]*(?:options|usage):|©|SPDX|all rights|urgency=|>[ \t\r]*$"
    r"|^[ ]*\[ |\t\* |^(?:[-*#]+ )?\**\w[\w ]{1,30}:|reproduce|^#",
    re.IGNORECASE | re.MULTILINE,
)


def boilerplate_edits(text: str) -> Iterator[Edit]:
    """Lines that say nothing about what this text is about."""
    if "\n" not in text:
        return
    manual = bool(_MANUAL_NAME.search(text))
    spans = []
    if manual:
        for pattern in (_MANUAL_TITLE, _MANUAL_NAME, _MANUAL_HEADING, _OPTION):
            spans += [match.span() for match in pattern.finditer(text)]
    spans += [match.span() for match in _REFERENCES.finditer(text)]
    if _ANY.search(text):
        spans += [match.span() for match in _LEFT_OUT.finditer(text)]
        if _LICENSE_FIELD.search(text):
            spans += [match.span() for match in _FILES.finditer(text)]
    yield from without_overlaps(Edit(*span, BLOCK_END) for span in spans)
