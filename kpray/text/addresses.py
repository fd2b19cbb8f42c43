"""Addresses in a text: URLs, mail addresses, phone numbers, mentions; and hashtags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import PHRASE_END, Edit
from kpray.text.english_words import joined_words

_ADDRESS = re.compile(
    r"<?(?<![\w.+@-])(?:mailto:)?@?[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}(?::[\w./-]+)?>?"
    r"|(?<![\w.+@-])[\w.+-]{1,64} ?[\[(](?:at|@)[\])] ?[\w-]{1,63}(?: ?[\[(]dot[\])] ?[\w-]{2,63}|\.[a-z]{2,12}){1,4}"
    r"|<?\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"“”‘’`、。，（）]{1,2000}(?<![.,;:!?)'\]])>?"
    r"|\bwww\.[^\s<>\"“”‘’`、。，（）]{1,2000}(?<![.,;:!?)'\]])"
    r"|\bdoi:[ ]?10\.\d{4,9}/[^\s<>\"]{1,200}(?<![.,;:!?)'\]])"
    # without a scheme: a host with a path, or a host in small letters with a common ending
    r"|(?<![\w@./-])(?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,12}/[^\s<>\"“”‘’`、。，（）]{0,2000}(?<![.,;:!?)'\]])"
    r"|(?<![\w@./-])(?:[a-z0-9-]{1,63}\.){1,5}(?<!\bdot\.)(?:com|org|net|edu|gov|io|info|shop|example"
    r"|co\.(?:uk|jp|nz|in|kr|za)|com\.(?:au|br|cn)|ac\.uk|org\.uk)\b(?![.-]?\w)"
    # mentions; RT: a message that is passed on
    r"|(?:\bRT[ ])?(?<![\w@./])@[A-Za-z_]\w{0,60}(?:[-./]\w{1,60}){0,3}:?",
)
_PHONE = re.compile(
    # phone numbers: British and German, international, in three groups, or after a word that announces one
    r"(?<![\w.+-])(?<!\d )(?:\(0\d{1,5}\)[ ]?|0\d{1,4}[ /-])\d{3,8}(?:[ -]\d{2,6}){0,3}(?![\w-])"
    r"|(?<![\w.+-])\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?![\w-])"
    r"|(?<![\w.-])(?:1[ .-])?(?:\(\d{3}\)[ ]?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w-])"
    r"|\b(?:Tel|Fax|Mobile|Mob|[TMF])\b\.?:?(?= ?[+(]?\d[\d() ./-]{5,20}\d\b)"
    r"|(?:(?<=\bcall )|(?<=\bphone )|(?<=\bphone: )|(?<=\bdial )|(?<=\btel )|(?<=\btel: )|(?<=\btel\. )|(?<=\bfax )"
    r"|(?<=\bfax: )|(?<=\btext ))\d{2,5}(?:[ .-]\d{2,5}){1,4}(?![\w-])"
)
_ANY = re.compile(r"[@:.(\[](?:(?<=@)|//|(?<=www\.)|(?<=doi:)|(?<=[a-z0-9]\.)[a-z]{2}|(?:at|@)[)\]])")
_ANY_PHONE = re.compile(r"\d[ .)/-]{1,2}\d{2}")
_HASHTAG = re.compile(r"(?<![\w&/#])#(?=\w*[^\W\d_])(\w{2,100})(?=(\s*#\w)?)")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z][a-z]|\d{4}\b)")


def address_edits(text: str) -> Iterator[Edit]:
    """URLs, mail addresses and mentions."""
    if not _ANY.search(text):
        return
    for match in _ADDRESS.finditer(text):
        yield Edit(*match.span(), PHRASE_END)


def phone_edits(text: str) -> Iterator[Edit]:
    """Phone numbers."""
    if _ANY_PHONE.search(text):
        for match in _PHONE.finditer(text):
            yield Edit(*match.span(), PHRASE_END)


def hashtag_edits(text: str, lang: str) -> Iterator[Edit]:
    """Hashtags become words: `#ElectricBus` becomes `Electric Bus`. Hashtags in a row are separate.

    Args:
        text: any text.
        lang: primary code of its language; `#publictransport` is divided in English.
    """
    if "#" not in text:
        return
    for match in _HASHTAG.finditer(text):
        start, end = match.span()
        yield Edit(start, start + 1, "")
        letters = dict.fromkeys(range(start + 1, end), "")
        for offset in letters:
            letters[offset] = " " if text[offset] == "_" else text[offset]
        for hump in _HUMP.finditer(text, start + 1, end):
            letters[hump.start() - 1] += " "
        if lang == "en" and match[1].islower():
            for offset in joined_words(match[1]):
                letters[start + offset] += " "
        if match[2]:
            letters[end - 1] += ","
        yield from (Edit(at, at + 1, new) for at, new in letters.items() if new != text[at])
