"""A local Ray is private: its ports, its files, and how it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import StartJob
from tests.integration.jobs import parts


@pytest.mark.slow
def test_a_job_opens_no_port_and_no_file_to_others(start_extract: StartJob, tmp_path: Path) -> None:
    output = tmp_path / "output"
    job = start_extract(output, variables={"RAY_TMPDIR": ""})
    job.wait_until(lambda: parts(output))
    listening = [address for addresses in job.listening().values() for address in addresses]
    assert len(listening) > 5
    assert all(address.is_loopback for address in listening)
    sessions = Path("/tmp") / f"kpray-ray-{os.getuid()}"
    assert sessions.stat().st_mode & 0o777 == 0o700
    files = {file.path for process in job.processes() for file in process.open_files()}
    assert any(path.startswith(f"{sessions}/ray/session_") for path in files)
    assert not any(path.startswith("/tmp/ray/") for path in files)

    job.process.send_signal(signal.SIGTERM)
    stopped = job.finish()
    assert stopped.code == 143
    assert stopped.err.splitlines()[-1] == "kpray: interrupted; run the same command again"
    assert "SIGTERM" not in stopped.err
    assert "Traceback" not in stopped.err
