"""What keeps a Ray private: its token, and the folder of its sessions."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kpray.cluster.ray_compat import forget_token
from kpray.errors import UserError

_TOKEN, _TOKEN_FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


@contextmanager
def own_token() -> Iterator[None]:
    """Give a local Ray that lives in the block a token of its own, which no file contains."""
    if _TOKEN in os.environ:
        yield
        return
    os.environ[_TOKEN] = secrets.token_hex(32)
    forget_token()
    try:
        yield
    finally:
        del os.environ[_TOKEN]
        forget_token()


def check_token_file() -> None:
    """Check that other users cannot read the file with the token of a cluster.

    Raises:
        UserError: they can.
    """
    path = Path(os.environ.get(_TOKEN_FILE) or "~/.ray/auth_token").expanduser()
    if _TOKEN in os.environ or os.environ.get("RAY_AUTH_MODE") != "token" or not path.is_file():
        return
    if path.stat().st_mode & stat.S_IROTH:
        raise UserError("other users can read the token of Ray", where=str(path), fix=f"run `chmod 600 {path}`")


def session_folder() -> str | None:
    """Folder for the sessions of a local Ray, which only this user can reach; None if RAY_TMPDIR names another.

    Ray lets all users write into this folder, so it is in a private one.

    Raises:
        UserError: another user has made the folder, or can enter it.
    """
    if os.environ.get("RAY_TMPDIR"):
        return None
    folder = Path(tempfile.gettempdir()) / f"kpray-ray-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise UserError(
            "the folder for Ray's sessions is not private", where=str(folder), fix="remove it, or set RAY_TMPDIR"
        )
    return str(folder / "ray")
