"""Addresses at which there is no Ray: said at once, and in one line."""

from __future__ import annotations

import socket

import pytest

from kpray.cluster.session import ray_session
from kpray.errors import UserError


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=r"cannot connect to Ray: .*Connection refused.*ray start --head"):
            ray_session(address).__enter__()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999999", ":6379:", "no.such.host.invalid:6379"])
def test_address_that_cannot_be(address: str) -> None:
    with pytest.raises(UserError) as error:
        ray_session(address).__enter__()
    assert str(error.value).startswith(f"{address}: cannot connect to Ray: ")
    assert "\n" not in str(error.value)


def test_client_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(UserError, match="does not run through a Ray Client"):
        ray_session(None).__enter__()
