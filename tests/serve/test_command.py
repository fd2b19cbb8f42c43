"""`kpray serve` reports user errors in one line, before anything starts."""

from __future__ import annotations

import socket

import pytest

from kpray.cli import main


def serve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["kpray", "serve", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit.documents", "3"], "unknown option --limit.documents (did you mean --limits.documents?)"),
        (["--port", "70000"], "--port is '70000' (it should be less than or equal to 65535)"),
        (["--models", "mine=/no/such/folder"], "predictor: '/no/such/folder' is not a predictor"),
        (["--api-keys", "/no/such/file"], "/no/such/file: the API keys cannot be read: No such file or directory"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid:8000: cannot listen: "),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = [] if {"--port", "--host"} & {*arguments} else ["--port", str(_free_port())]
    code, out, err = serve(monkeypatch, capsys, *arguments, *free)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith(f"kpray: error: {message}")


def test_port_that_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = serve(monkeypatch, capsys, "--port", port)
    assert code == 2
    assert err == (
        f"kpray: error: 127.0.0.1:{port}: cannot listen: Address already in use (choose another --host or --port)\n"
    )


def test_help_describes_each_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = serve(monkeypatch, capsys, "--help")
    assert code == 0
    for option in ("--host", "--models", "--api-keys", "--limits.seconds", "--batch.tokens", "--replicas.gpus"):
        assert option in out


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
