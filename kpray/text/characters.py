"""Characters that look alike or are invisible."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import regex

from kpray.text.edits import Edit

# One alternative per kind:
#   1. a soft hyphen, with the line break after it
#   2. directions of writing, word joiners, byte-order marks
#   3. a zero-width space; in scripts without spaces it separates words
#   4. joiners between Latin letters, where they only keep letters from becoming a ligature
#   5. ligatures (fi), mathematical and full-width letters become plain letters
#   6. spaces of other widths
#   7. UTF-8 that was read as Windows-1252 (â€™)
_SPECIAL = regex.compile(
    r"(?P<none>\u00ad(?:[^\S\n]*\n[^\S\n]*)?|[\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
    r"|(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b"
    r"|(?<=\p{Latin})[\u200c\u200d](?=\p{Latin}))"
    r"|(?P<plain>[\ufb00-\ufb06\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff])"
    r"|(?P<space>[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000])"
    r"|(?P<misread>Ã[\u0080-\u00bfŠŒŽšœžŸƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]|Â[\u00a0-\u00bf]|â[€\u0080„][\u0080-\u00bf™œžšŸ“”˜¢¦¡])"
)
_CLUSTER = regex.compile(r"\X")


def character_edits(text: str) -> Iterator[Edit]:
    """Invisible characters, ligatures and spaces; then letters with accents in one form (NFC)."""
    if text.isascii():
        return
    normal = unicodedata.is_normalized("NFC", text)
    edits = list(_special_edits(text))
    if normal:
        yield from edits
        return
    special = {edit.start: edit for edit in edits}
    end = 0
    for cluster in _CLUSTER.finditer(text):
        start = cluster.start()
        inside = [special[offset] for offset in range(start, cluster.end()) if offset in special]
        if inside:
            yield from inside
            end = inside[-1].end
        elif start >= end:
            composed = unicodedata.normalize("NFC", cluster[0])
            if composed != cluster[0]:
                yield Edit(start, cluster.end(), composed)


def _special_edits(text: str) -> Iterator[Edit]:
    for match in _SPECIAL.finditer(text):
        replacement = {"none": "", "plain": unicodedata.normalize("NFKC", match[0]), "space": " "}
        if match["misread"]:
            yield Edit(match.start(), match.end(), _read_again(match[0]))
        else:
            yield Edit(match.start(), match.end(), replacement[match.lastgroup or "none"])


def _read_again(misread: str) -> str:
    """`misread` as UTF-8. Windows-1252 leaves five bytes undefined, which are then control characters."""
    contents = b"".join(
        bytes([ord(character)]) if ord(character) < 0x100 else character.encode("cp1252") for character in misread
    )
    try:
        return contents.decode().replace("\xa0", " ")
    except UnicodeDecodeError:
        return misread
