"""A cluster with a token refuses clients without the right token at once, with one line."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.integration.jobs import HEAD, Job, wait_for_head


@pytest.mark.slow
def test_token(start_job: Callable[..., Job], tmp_path: Path) -> None:
    token = secrets.token_hex(32)
    here = {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
    }  # a home without a token
    more = ("--num-cpus=1", "--dashboard-host=127.0.0.1", "--dashboard-port=0", "--object-store-memory=100000000")
    address = wait_for_head(start_job(*HEAD, *more, variables={**here, "RAY_AUTH_TOKEN": token}))

    script = Path(__file__).with_name("preflight_nodes.py")
    for others in ({}, {"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
        refused = start_job(script, address, tmp_path / "output", tmp_path, variables={**here, **others}).finish()
        assert (refused.code, refused.out) == (2, ""), refused.err
        *_, line = refused.err.splitlines()
        assert line.startswith(f"kpray: error: {address}: cannot connect to Ray: ")
        assert "RAY_AUTH_TOKEN" in line
        assert "Traceback" not in refused.err
        assert token not in refused.err
    welcome = {**here, "RAY_AUTH_TOKEN": token}
    allowed = start_job(script, address, tmp_path / "output", tmp_path, variables=welcome).finish()
    assert (allowed.code, allowed.out) == (0, "all is well\n"), allowed.err
