"""API keys: reading, comparing and rotating them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kpray.errors import UserError
from kpray.serve import api_keys as module
from kpray.serve.api_keys import Keys, exposure_warning
from kpray.serve.errors import ApiError

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"


@pytest.fixture(autouse=True)
def _check_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_CHECKS", 0.0)


def test_no_key_is_required_without_keys() -> None:
    assert not Keys(None, {}).required


def test_names_of_keys(keys_file: Path) -> None:
    keys = Keys(keys_file, {"KPRAY_API_KEYS": "carol:carol-0123456789abcdef, metrics:metrics-0123456789ab"})
    assert keys.required
    assert [keys.name_of(key) for key in (ALICE, BOB, "carol-0123456789abcdef")] == ["alice", "bob", "carol"]
    for wrong in ("", ALICE[:-1], f"{ALICE} ", ALICE.upper(), f"alice:{ALICE}", "\ud800"):
        assert keys.name_of(wrong) is None


def test_keys_are_rotated(keys_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keys = Keys(keys_file, {})
    keys_file.write_text("alice:alice-new-0123456789\n", encoding="utf-8")
    assert keys.name_of("alice-new-0123456789") == "alice"
    assert keys.name_of(ALICE) is keys.name_of(BOB) is None
    keys_file.write_text("", encoding="utf-8")  # all keys are revoked
    assert keys.name_of("alice-new-0123456789") is None
    assert keys.required
    assert "0123456789" not in caplog.text


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"alice: too short\n", ":1: this is not an API key"),
        (f"alice:{ALICE}\nbob:bob-0123456789".encode(), ": the file of API keys ends within a line"),
        (b"\xff\xfe\n", ": the API keys cannot be read: not UTF-8"),
        (None, ": the API keys cannot be read: No such file or directory"),
    ],
)
def test_no_key_of_a_wrong_file_is_valid(
    damage: bytes | None, reason: str, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = keys_file.read_bytes()
    keys = Keys(keys_file, {"KPRAY_API_KEYS": "carol:carol-0123456789abcdef"})
    assert keys.name_of(ALICE) == "alice"
    if damage is None:
        keys_file.unlink()
    else:
        keys_file.write_bytes(damage)
    for _ in range(3):
        for key in (ALICE, BOB, "bob-0123456789", "unknown"):
            with pytest.raises(ApiError) as refused:
                keys.name_of(key)
            assert (refused.value.status, refused.value.code) == (503, "keys_unreadable")
            assert refused.value.retry_after
    assert keys.name_of("carol-0123456789abcdef") == "carol"  # this key is not in the file
    assert keys.required
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    start = f"requests are refused until the API keys can be read: {keys_file}{reason}"
    assert record.getMessage().startswith(start)
    keys_file.write_bytes(original)
    assert keys.name_of(ALICE) == "alice"
    assert keys.name_of("unknown") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alice\n", ":1: this is not an API key"),
        ("\nalice:short\n", ":2: this is not an API key"),
        ("a:0123456789abcdef\nb:0123456789abcdef\n", ":2: this name or key occurs twice"),
        ("a:0123456789abcdef\na:0123456789abcdeg\n", ":2: this name or key occurs twice"),
        ("a:0123456789abcdef", ": the file of API keys ends within a line"),
        ("carol:0123456789abcdef\n", ": the name 'carol' is also in KPRAY_API_KEYS"),
    ],
)
def test_wrong_file_at_the_start(text: str, message: str, keys_file: Path) -> None:
    keys_file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        Keys(keys_file, {"KPRAY_API_KEYS": "carol:carol-0123456789abcdef"})
    assert str(error.value).startswith(f"{keys_file}{message}")


def test_missing_file_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the API keys cannot be read: No such file"):
        Keys(tmp_path / "keys", {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert exposure_warning(host, Keys(None, {})) == ""


def test_other_addresses_without_a_key(keys_file: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        assert exposure_warning(host, Keys(None, {})).startswith(f"anyone who can reach {host} can use the service")
        assert exposure_warning(host, Keys(keys_file, {})) == ""
