"""What stands at the start of each line of a log, a chat or subtitles: times, levels, names and counters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, Edit

_LEVEL = r"\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|SEVERE)\]?"
_LOG = re.compile(
    rf"^(?:\[?\d{{4}}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{{1,9}})?(?:Z|[ ]?[+-]\d\d:?\d\d)?\]?[ \t:|-]*"
    rf"(?:{_LEVEL}(?=[\s:|-])[ \t:|-]*)?|{_LEVEL}[:\t ][ \t:|-]*|npm (?:ERR!|WARN)[ \t]+(?:code [^\n]*|\d+[ ])?)"
    r"(?:\[[^\]\n]{1,60}\][ \t:-]*)*(?:[\w$]{1,60}(?:\.[\w$]{1,60})+[ \t]*[:-][ \t]*)?"
    # syslog
    r"|^[A-Z][a-z]{2}[ ]{1,2}\d{1,2} \d\d:\d\d:\d\d \S{1,60} [\w./()-]{1,60}(?:\[\d+\])?: (?:\[[ \d.]+\] )?"
    # a request to a web server
    r"|^\S{1,60} \S{1,60} \S{1,60} \[\d\d/[A-Z][a-z]{2}/\d{4}:[^\]\n]{1,30}\] \"[^\n]*",
    re.MULTILINE,
)
_TIME = r"(?:\d{1,4}[-./]\d{1,2}[-./]\d{1,4},? )?\d{1,2}:\d\d(?::\d\d)?(?:[ \u202f]?[AaPp]\.?[Mm]\.?)?"
_NAME = r"(?:<[^<>\n]{1,30}>|\w[\w .'’~+-]{0,30}:)"
_CHAT = re.compile(rf"^(?:\[{_TIME}\]|{_TIME})[ \t]*[-–]?[ \t]*{_NAME}[ \t]", re.MULTILINE)
_IRC = re.compile(r"^<[@+ ]?[\w\[\]|`-]{1,20}> ", re.MULTILINE)
_AUTHOR = re.compile(rf"^[A-Z][\w .'’-]{{0,30}} (?:\[{_TIME}\]|{_TIME})[ \t\r]*$", re.MULTILINE)
_NOTICE = re.compile(
    r"^(?:-->|<--|-!-|\*{1,3})[ \t][^\n]{0,60}\b(?:joined|left|quit|has set|parted)\b[^\n]{0,60}$"
    r"|<(?:Media omitted|attached: [^<>\n]{1,80})>|^This message was deleted\.?$",
    re.MULTILINE,
)
_CUE = re.compile(r"\s*(?:^\d{1,5}[ \t\r]*\n)?^(?:\d{1,2}:)?\d\d:\d\d[.,]\d{3} --> [^\n]*(?:\n|\Z)", re.MULTILINE)
_SOUND = re.compile(r"\A\ufeff?WEBVTT[^\n]*|^[ \t]*[\[(][A-Z♪ ]{2,40}[\])][ \t\r]*$|♪", re.MULTILINE)
_ANY = re.compile(
    r"^(?:\[?\d|npm |[A-Z][a-z]{2} |<|" + _LEVEL + r")|-->|:\d\d[+ ]|:\d\d(?: ?[AP]M)?\]?[ \t\r]*$", re.MULTILINE
)


def transcript_edits(text: str) -> Iterator[Edit]:
    """The start of each message or cue is left out; a sentence may go on in the next cue."""
    if "\n" not in text or not _ANY.search(text):
        return
    cues = list(_CUE.finditer(text)) if " --> " in text else []
    if cues:
        for match in cues:
            ended = match.start() == 0 or text[match.start() - 1] in '.!?…"”)]'
            yield Edit(*match.span(), BLOCK_END if ended else " ")
        return
    matches = list(_LOG.finditer(text))
    for pattern in (_CHAT, _IRC, _AUTHOR):
        messages = list(pattern.finditer(text))
        if len(messages) > 1:
            matches += [*messages, *_NOTICE.finditer(text)]
            break
    done = 0
    for match in sorted(matches, key=re.Match.start):
        if match.start() >= done:
            yield Edit(*match.span(), BLOCK_END)
            done = match.end()


def sound_edits(text: str) -> Iterator[Edit]:
    """Sounds in subtitles, such as [MUSIC]."""
    if "-->" in text and _CUE.search(text):
        for match in _SOUND.finditer(text):
            yield Edit(*match.span(), BLOCK_END)
