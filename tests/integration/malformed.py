"""Makes malformed HTTP requests, as bytes, from a random seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

_TEXT = "Sparse networks describe the graph of a corpus."
_PATHS = (
    *(b"/v1/keyphrases/../keyphrases", b"//v1//keyphrases", b"/v1/keyphrases%00", b"/%ff%fe", b"/../../etc/passwd"),
    *(b"http://elsewhere.example/v1/keyphrases", b"*", b"/v1/keyphrases?" + b"q" * 20_000, b"/" + b"a/" * 5_000, b"\\"),
)
_METHODS = (b"GET", b"PUT", b"DELETE", b"TRACE", b"OPTIONS", b"CONNECT", b"post", b"P\xffST", b"PRI", b"X" * 5_000)
_HEADERS = (
    *(b"Content-Length: -1", b"Content-Length: 9" + b"9" * 30, b"Content-Length: 1, 2", b"Content-Length: 0x10"),
    *(b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: gzip", b"Transfer-Encoding: \x0bchunked"),
    *(b"X-Request-Timeout-Seconds: -1", b"X-Request-Timeout-Seconds: \xff", b"X-Request-Disconnect-Disabled: \xff"),
    *(b"Serve_Multiplexed_Model_Id: \xff", b"X-Session-Id: \xff", b"X-Request-ID: \xff\xfe", b"X-Kpray-Refused: \xff"),
    *(b"X-Kpray-Refused: 99999999999", b"X-Request-ID: " + b"i" * 20_000, b"X-" + b"h" * 60_000 + b": 1", b"No colon"),
    *(b": no name", b"Host: a\r\nHost: b", b"Expect: 100-continue", b"Expect: the unexpected", b"Cookie: \x00\x01"),
    *(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA", b"Content-Encoding: br"),
    *(b"Upgrade: websocket\r\nConnection: Upgrade", b"Range: bytes=9-1", b" folded: 1", b"Content-Type: \xff/\xff"),
)


@dataclass(frozen=True)
class Malformed:
    """A malformed request.

    Attributes:
        kind: kind of defect.
        sent: the bytes to send.
        whole: whether the request is complete, so that the service must answer.
    """

    kind: str
    sent: bytes
    whole: bool


def malformed(seed: int, key: str, body_bytes: int) -> Malformed:
    """Make the request of a seed.

    Args:
        seed: any number.
        key: a valid API key.
        body_bytes: the limit of a body's size in bytes.
    """
    random = Random(seed)
    kind = random.choices(list(_KINDS), [weight for weight, *_ in _KINDS.values()])[0]
    _, whole, make = _KINDS[kind]
    return Malformed(kind, make(random, f"Authorization: Bearer {key}\r\n".encode(), body_bytes), whole)


def _post(key: bytes, body: bytes, *headers: bytes) -> bytes:
    more = b"".join(header + b"\r\n" for header in headers)
    start = (
        b"POST /v1/keyphrases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    )
    return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (start, key, more, len(body), body)


def _value(random: Random, depth: int = 3) -> Any:
    numbers: tuple[Any, ...] = (-1, 0, 10**400, 1e308, float("nan"))
    simple = (None, True, *numbers, "", "x" * 300, "\ud800", "\x00", _TEXT, [], {})
    if depth == 0 or random.random() < 0.6:
        return random.choice(simple)
    if random.random() < 0.5:
        return [_value(random, depth - 1) for _ in range(random.randrange(4))]
    return {random.choice(("text", "title", "id", "lang", "\ud800", "")): _value(random, depth - 1) for _ in range(3)}


def _wrong_types(random: Random, key: bytes, _: int) -> bytes:
    body: dict[str, Any] = {"documents": [{"text": _TEXT}], "top": 3, "model": "samrank", "explain": False}
    for _ in range(random.randint(1, 3)):
        field = random.choice(["documents", "top", "model", "lang", "explain", "document", "text"])
        body["documents" if field == "text" else field] = (
            [{"text": _value(random), "id": _value(random)}] if field == "text" else _value(random)
        )
    return _post(key, json.dumps(body).encode())


def _deep(random: Random, key: bytes, _: int) -> bytes:
    opening = random.choice([b"[", b'{"documents":', b'{"documents":[{"text":', b'[{"a":'])
    return _post(key, opening * random.choice([50, 1000, 50_000]))


def _binary(random: Random, key: bytes, _: int) -> bytes:
    body = random.randbytes(random.randrange(2000))
    return _post(key, body) if random.random() < 0.7 else body + b"\r\n\r\n"


def _cut_json(random: Random, key: bytes, _: int) -> bytes:
    body = json.dumps({"documents": [{"text": _TEXT}] * 3}).encode()
    at = random.randrange(len(body))
    return _post(key, body[:at] + random.choice([b"", b"\xff", b'"', b"]", b"\x00"]) + body[at + 1 :])


def _huge(random: Random, key: bytes, body_bytes: int) -> bytes:
    bodies = (
        b'{"documents": [{"text": "%b"}]}' % (b"a" * body_bytes),
        b'{"documents": [%b{"text": "a"}]}' % (b'{"text": "a"},' * 5000),
        b'{"documents": [{"text": "a", "id": "%b"}]}' % (b"i" * 50_000),
        b'{"top": %b}' % (b"9" * 20_000),
    )
    return _post(key, random.choices(bodies, [1, 5, 5, 5])[0])


def _tricks(random: Random, key: bytes, _: int) -> bytes:
    return _post(key, b'{"documents": []}', *random.sample(_HEADERS, random.randint(1, 2)))


def _lines(random: Random, key: bytes, _: int) -> bytes:
    method, path = random.choice([(random.choice(_METHODS), b"/v1/keyphrases"), (b"GET", random.choice(_PATHS))])
    version = random.choice([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"", b"\xff"])
    return b"%b %b %b\r\nHost: localhost\r\n%bConnection: close\r\n\r\n" % (method, path, version, key)


def _chunks(random: Random, key: bytes, _: int) -> bytes:
    size = random.choice([b"5", b"zz", b"-1", b"fffffffffffffffffff", b"5;" + b"e" * 9000, b""])
    start = _post(key, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return start + size + b'\r\n{"a":\r\n0\r\n\r\n'


def _broken_off(random: Random, key: bytes, _: int) -> bytes:
    whole = _post(key, json.dumps({"documents": [{"text": _TEXT}]}).encode())
    return whole[: random.randrange(len(whole))]


def _slow(random: Random, key: bytes, _: int) -> bytes:
    return _post(key, b'{"documents": []}')[: -random.randint(1, 15)]


def _no_key(random: Random, _: bytes, body_bytes: int) -> bytes:
    key = random.choice(
        [b"", b"Authorization: Bearer \xff\r\n", b"Authorization: Basic eDp5\r\n", b"Authorization:\r\n"]
    )
    return _post(key, json.dumps({"documents": [{"text": _TEXT}]}).encode())


_KINDS: dict[str, tuple[float, bool, Callable[[Random, bytes, int], bytes]]] = {
    "wrong types": (30, True, _wrong_types),
    "cut JSON": (10, True, _cut_json),
    "deep": (5, True, _deep),
    "binary": (10, False, _binary),
    "huge": (3, True, _huge),
    "header tricks": (15, False, _tricks),
    "first lines": (10, False, _lines),
    "chunks": (5, False, _chunks),
    "broken off": (5, False, _broken_off),
    "no key": (6, True, _no_key),
    "slow body": (1, True, _slow),
}
