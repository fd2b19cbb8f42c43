"""An address without a reachable Ray fails at once, with one line."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from ray._common.tls_utils import generate_self_signed_tls_certs

from kpray.cluster.session import ray_session
from kpray.errors import UserError


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=r"cannot connect to Ray: .*Connection refused.*ray start --head"):
            ray_session(address).__enter__()
    assert capfd.readouterr() == ("", "")


def test_local_ray_does_not_start_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("The current node timed out.\nDetails.")

    monkeypatch.setattr("ray.init", fail)
    with pytest.raises(UserError, match=r"^cannot start Ray: The current node timed out\.[^\n]*less busy"):
        ray_session("local").__enter__()


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999999", ":6379:", "no.such.host.invalid:6379"])
def test_invalid_address(address: str) -> None:
    with pytest.raises(UserError) as error:
        ray_session(address).__enter__()
    assert str(error.value).startswith(f"{address}: cannot connect to Ray: ")
    assert "\n" not in str(error.value)


def test_client_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(UserError, match="does not work through Ray Client"):
        ray_session(None).__enter__()


def write_certificate(folder: Path) -> dict[str, str]:
    """Write a self-signed certificate. Returns the environment variables that make Ray use it."""
    folder.mkdir()
    names = ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY")
    for name, text in zip(names, generate_self_signed_tls_certs(), strict=True):
        (folder / name).write_text(text)
    files = {name: str(folder / name) for name in names}
    return {"RAY_USE_TLS": "1", **files, "RAY_TLS_CA_CERT": files["RAY_TLS_SERVER_CERT"]}


@contextmanager
def encrypted(variables: dict[str, str]) -> Iterator[str]:
    """Run a server that answers with TLS. Yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(variables["RAY_TLS_SERVER_CERT"], variables["RAY_TLS_SERVER_KEY"])

    def answer() -> None:
        connection, _ = server.accept()
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as one:  # the client disconnects
            one.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=answer)
        thread.start()
        yield f"localhost:{server.getsockname()[1]}"
        thread.join()


def test_cluster_with_tls_and_process_without(tmp_path: Path) -> None:
    with (
        encrypted(write_certificate(tmp_path / "node")) as address,
        pytest.raises(UserError, match=rf"^{address}: the cluster uses TLS \(set RAY_USE_TLS=1, RAY_TLS_SERVER_CERT"),
    ):
        ray_session(address).__enter__()


def test_certificates_of_two_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in write_certificate(tmp_path / "client").items():
        monkeypatch.setenv(name, value)
    with (
        encrypted(write_certificate(tmp_path / "node")) as address,
        pytest.raises(UserError, match=rf"^{address}: cannot connect to Ray with TLS: .*certificate verify failed"),
    ):
        ray_session(address).__enter__()


def test_missing_tls_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.delenv("RAY_TLS_CA_CERT", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=r"cannot connect to Ray with TLS: .*RAY_TLS_CA_CERT to files"):
            ray_session(address).__enter__()
