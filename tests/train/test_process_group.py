"""The first worker's port is never closed before the workers have met there."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from kpray.train.process_group import _join, _open

TIMEOUT = timedelta(seconds=20)


def test_no_other_process_can_take_the_port() -> None:
    host, port = _open(TIMEOUT)
    with pytest.raises(OSError, match="in use"):
        socket.create_server((host, port))
    _join("gloo", 0, 1, host, port, TIMEOUT)
    try:
        values = torch.ones(2)
        dist.all_reduce(values)
        assert values.tolist() == [1, 1]
        with pytest.raises(OSError, match="in use"):
            socket.create_server((host, port))
    finally:
        dist.destroy_process_group()
