"""API keys. They are compared by digest in constant time, and never logged."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from kpray.errors import UserError
from kpray.serve.errors import unreadable_keys

API_KEYS_VARIABLE = "KPRAY_API_KEYS"
METRICS_KEY = "metrics"  #: name of the key that can only read /metrics

_LINE = re.compile(r"([\w.-]{1,64}):([\x21-\x7e]{16,512})", re.ASCII)
_SECONDS_BETWEEN_CHECKS = 1.0
_logger = logging.getLogger("ray.serve")


class Keys:
    """The currently valid keys. The file is read again when it changes. While it is wrong, its keys are not valid.

    Args:
        file: file with one `name:key` per line; empty lines and lines that begin with # are ignored; None: no file.
        environment: environment variables. KPRAY_API_KEYS contains more `name:key` entries, separated by commas.

    Raises:
        UserError: the file cannot be read, a line is wrong, or a name or a key occurs twice.
    """

    def __init__(self, file: Path | None, environment: Mapping[str, str] = os.environ) -> None:
        self._file = file
        variable = environment.get(API_KEYS_VARIABLE, "")
        self._fixed = _parse([part.strip() for part in variable.split(",")], API_KEYS_VARIABLE)
        self._checked, self._stamp = time.monotonic(), self._stamp_now()
        self._problem = ""  # why the file cannot be read; empty if it can
        self._names = self._read()

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return self._file is not None or bool(self._names)

    def name_of(self, key: str) -> str | None:
        """Name of a key; None if the key is not valid.

        Raises:
            ApiError: the file cannot be read at the moment, and the key is not in the environment variable.
        """
        self._reload_if_changed()
        given, name = hashlib.sha256(key.encode("utf-8", "replace")).digest(), None
        for digest, known in self._names.items():  # compare with all keys, so that the time reveals nothing
            if hmac.compare_digest(digest, given):
                name = known
        if name is None and self._problem:
            raise unreadable_keys()
        return name

    def _reload_if_changed(self) -> None:
        """Read the file again if it has changed or could not be read before. If it is wrong, its old keys end."""
        if self._file is None or time.monotonic() - self._checked < _SECONDS_BETWEEN_CHECKS:
            return
        self._checked, stamp = time.monotonic(), self._stamp_now()
        if stamp == self._stamp and not self._problem:
            return
        self._stamp, before, self._problem = stamp, self._problem, ""
        try:
            self._names = self._read()
            _logger.info("reloaded the API keys: %d are valid", len(self._names))
        except UserError as error:
            self._names, self._problem = self._fixed, str(error)
            if self._problem != before:  # one line, not one each second
                _logger.error("requests are refused until the API keys can be read: %s", error)

    def _stamp_now(self) -> tuple[int, ...] | None:
        try:
            status = self._file.stat() if self._file else None
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None

    def _read(self) -> dict[bytes, str]:
        if self._file is None:
            return self._fixed
        where = str(self._file)
        try:
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise UserError(f"the API keys cannot be read: {reason}", where=where) from error
        if text and not text.endswith("\n"):  # the start of a key must not become a key
            fix = "if it is complete, end its last line with a newline"
            raise UserError("the file of API keys ends within a line", where=where, fix=fix)
        lines = text.splitlines()
        names = _parse(["" if line.startswith("#") else line.strip() for line in lines], where)
        if duplicates := set(names.values()) & set(self._fixed.values()):
            what = f"the name {min(duplicates)!r} is also in {API_KEYS_VARIABLE}"
            raise UserError(what, where=where, fix="remove one of the two")
        return {**self._fixed, **names}


def is_loopback(host: str) -> bool:
    """Whether other machines cannot reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def exposure_warning(host: str, keys: Keys) -> str:
    """A warning if other machines can use the service without a key, otherwise an empty string."""
    if keys.required or is_loopback(host):
        return ""
    return f"anyone who can reach {host} can use the service, because no API key is set (api_keys, {API_KEYS_VARIABLE})"


def _parse(lines: list[str], where: str) -> dict[bytes, str]:
    """Digest of each key -> its name."""
    names: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            fix = "write name:key, with a key of at least 16 characters and no spaces"
            raise UserError("this is not an API key", where=f"{where}:{number}", fix=fix)
        name, key = match.groups()
        digest = hashlib.sha256(key.encode()).digest()
        if digest in names or name in names.values():
            raise UserError("this name or key occurs twice", where=f"{where}:{number}", fix="remove one of the two")
        names[digest] = name
    return names
