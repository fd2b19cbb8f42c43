"""Encodings of text files: everything is read as UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from contextlib import suppress
from typing import BinaryIO, cast

from kpray.corpus.limits import AUTO_ENCODING, is_encoding
from kpray.log import say
from kpray.text.detection import AUTO, document_language

_SAMPLE_BYTES = 64 * 1024
_SAMPLE_BLOCK = 1024  # small, so that what is before a damage is read
_UTF8 = "utf-8"
_MARKS = (  # UTF-32's mark begins with that of UTF-16
    (codecs.BOM_UTF8, _UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_DECLARED = re.compile(
    rb"<(?:meta\b[^<>]{0,200}\bcharset|\?xml\b[^<>]{0,200}\bencoding)\s*=\s*[\"']?([\w.:-]{2,30})", re.I
)
_HIGH = re.compile(rb"[\x80-\xff]")
_WINDOWS = "cp1252"
# With all 90 encodings that charset-normalizer knows, short texts become nonsense.
_CANDIDATES = [
    _WINDOWS,
    *"cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 koi8_r gb18030 big5 cp932 euc_jp cp949".split(),
]
_NAMES = {"cp932": "Shift JIS", "cp949": "EUC-KR", "euc_jp": "EUC-JP", "koi8_r": "KOI8-R", "big5": "Big5"}
# Code pages of Latin letters and the languages that need them; all others need Windows-1252.
_LATIN: dict[str, tuple[str, ...]] = {
    _WINDOWS: (),
    "cp1250": ("bs", "cs", "hr", "hu", "pl", "ro", "sk", "sl", "sq"),
    "cp1254": ("az", "tr"),
    "cp1257": ("et", "lt", "lv"),
}
_DAMAGE = 0.05  # share of the bytes that may be wrong in a text that is UTF-8
_ERRORS = "kpray.invalid"


def _invalid(error: UnicodeError) -> tuple[str, int]:
    """Bytes that the encoding does not allow become a lone surrogate, so that only the record with them is rejected."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error(_ERRORS, _invalid)


def as_utf8(file: BinaryIO, sample: bytes, encoding: str, name: str) -> BinaryIO:
    """The file as UTF-8, from its start.

    Args:
        file: the file.
        sample: its first bytes.
        encoding: its encoding; `auto`: detected. If it is neither UTF-8 nor UTF-16, the detected encoding is logged.
        name: name of the file, for the log.
    """
    if encoding == AUTO_ENCODING:
        encoding, shown = detect_unnamed(sample)
        if shown:
            text = f"{name} is not UTF-8; read as {shown} (--encoding names another)"
            say("encoding", text, file=name, encoding=shown)
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii"):
        return file
    return cast(BinaryIO, io.BufferedReader(_Recoded(file, encoding)))


def detect_unnamed(sample: bytes) -> tuple[str, str]:
    """Encoding of a file by its first bytes, and its name for people if it is a guess; "" if it is none."""
    encoding = detect(sample)
    if encoding.startswith("utf"):
        return encoding, ""
    declared = _DECLARED.search(sample[:2048])  # an HTML page says it
    if declared and is_encoding(declared[1].decode("latin-1")):
        return declared[1].decode("latin-1"), ""
    return encoding, _NAMES.get(encoding, encoding.replace("cp", "Windows-"))


def detect(sample: bytes) -> str:
    """Encoding of a text by its first bytes: `utf-8` also if the text is damaged, or is no text."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder(_UTF8)().decode(sample, final=len(sample) < _SAMPLE_BYTES)
        return "utf-16-le" if _is_utf16(sample) else _UTF8
    except UnicodeDecodeError:
        if _is_utf16(sample):
            return "utf-16-le"
        high, valid = len(_HIGH.findall(sample)), sum(map(len, _MULTIBYTE.findall(sample)))
        damaged = valid > 0 and high - valid <= 1 + _DAMAGE * high
        return _UTF8 if damaged or b"\0" in sample else _other(sample)


def _is_utf16(sample: bytes) -> bool:
    """Whether every other byte is zero in most characters, as in UTF-16 of Latin letters without a mark."""
    pairs = len(sample) // 2
    return pairs > 2 and sample[1::2].count(0) > 0.7 * pairs and sample[::2].count(0) < 0.1 * pairs


def _other(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_CANDIDATES).best()
    if best is None:
        return _UTF8
    if best.encoding not in _LATIN:
        return best.encoding
    # The code pages of Latin letters differ in few of them; the language decides.
    language, _ = document_language(AUTO, str(best))
    found = next((page for page, languages in _LATIN.items() if language in languages), _WINDOWS)
    return found if _is_valid(sample, found) else best.encoding


def _is_valid(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def first_bytes(file: BinaryIO) -> bytes:
    """The first bytes of a file, for `as_utf8`; those before the damage, if it is compressed and damaged."""
    if not isinstance(file, gzip.GzipFile):
        return file.read(_SAMPLE_BYTES)  # at once: an object store takes as long for a few bytes
    sample = b""
    with suppress(EOFError, gzip.BadGzipFile, zlib.error):  # the reader finds the damage again
        while len(sample) < _SAMPLE_BYTES and (block := file.read(_SAMPLE_BLOCK)):
            sample += block
    return sample


class _Recoded(io.RawIOBase):
    """A file in another encoding, read as UTF-8. It can only seek to its start."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._restart()

    def _restart(self) -> None:
        self._decoder = codecs.getincrementaldecoder(self._encoding)(errors=_ERRORS)
        self._held = b""
        self._given = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def tell(self) -> int:
        return self._given

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if (offset, whence) != (0, io.SEEK_SET):
            raise io.UnsupportedOperation("a recoded file can only be read from its start")
        self._file.seek(0)
        self._restart()
        return 0

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # any buffer
        while not self._held:
            block = self._file.read(len(buffer))
            self._held = self._decoder.decode(block, final=not block).encode("utf-8", "surrogatepass")
            if not block:
                break
        given = self._held[: len(buffer)]
        self._held = self._held[len(buffer) :]
        buffer[: len(given)] = given
        self._given += len(given)
        return len(given)
