"""The token of Ray, and the folder of its sessions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kpray.cluster.private import check_token_file, own_token, session_folder
from kpray.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_local_ray_has_a_new_token_each_time() -> None:
    tokens = []
    for _ in range(2):
        with own_token():
            tokens.append(os.environ["RAY_AUTH_TOKEN"])
        assert "RAY_AUTH_TOKEN" not in os.environ
    assert len(set(tokens)) == 2
    assert all(len(token) == 64 for token in tokens)


def test_a_given_token_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    with own_token():
        assert os.environ["RAY_AUTH_TOKEN"] == "given"
    assert os.environ["RAY_AUTH_TOKEN"] == "given"


@pytest.mark.parametrize("variable", [False, True])
def test_a_token_that_others_can_read_is_refused(home: Path, variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    check_token_file()  # there is none
    path = home / "token" if variable else home / ".ray/auth_token"
    if variable:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    path.chmod(0o600)
    check_token_file()
    path.chmod(0o644)
    with pytest.raises(UserError) as raised:
        check_token_file()
    assert str(raised.value) == f"{path}: other users can read the token of Ray (run `chmod 600 {path}`)"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")  # Ray does not read the file
    check_token_file()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check_token_file()


def test_sessions_are_in_a_private_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = session_folder()
    assert folder == str(home / f"kpray-ray-{os.getuid()}/ray")
    assert Path(folder).parent.stat().st_mode & 0o777 == 0o700
    assert session_folder() == folder
    monkeypatch.setenv("RAY_TMPDIR", "/somewhere")
    assert session_folder() is None


@pytest.mark.parametrize("defect", ["open", "link", "file"])
def test_a_folder_that_is_not_private_is_refused(home: Path, defect: str) -> None:
    folder = home / f"kpray-ray-{os.getuid()}"
    if defect == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif defect == "link":
        (home / "target").mkdir(mode=0o700)
        folder.symlink_to(home / "target")
    else:
        folder.write_text("")
    with pytest.raises(UserError, match="not private"):
        session_folder()
