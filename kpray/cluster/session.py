"""Connecting to Ray, or starting a local one."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

import ray

from kpray.errors import UserError

_SECONDS_TO_ANSWER = 10.0


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Be connected to Ray inside the block; a block within another one uses its connection.

    Args:
        address: of a cluster (`auto`, `host:6379`); None: the cluster that this process was
            submitted to, if any, else a Ray of its own on this machine that ends with the block.

    Raises:
        UserError: there is no cluster at the address, or it refuses us.
    """
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where == "local":
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what its C++ side warns of says nothing to a user
    variables = {name: os.environ[name] for name in ("NLTK_DATA",) if name in os.environ}
    try:
        _check_reachable(where)
        with _no_standard_error():
            ray.init(
                address=where,
                runtime_env={"env_vars": variables},
                logging_level=logging.WARNING,
                log_to_driver=False,
            )
    except UserError:
        raise
    except Exception as error:  # the bare class is what Ray raises when a node does not come up in time
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"cannot connect to Ray: {reason}",
            where=where,
            fix="start one with `ray start --head`, set RAY_AUTH_TOKEN to its token if it has one, "
            "or leave --address out for a local Ray",
        ) from error
    with redirect_stdout(sys.stderr):  # where Ray tells of lost workers and nodes; standard output is for results
        try:
            yield
        finally:
            ray.shutdown()


def node_resources() -> list[Mapping[str, float]]:
    """Resources of each living node of the cluster that Ray is connected to."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _check_reachable(address: str) -> None:
    """Raise what a socket raises where nothing listens at host:port; Ray would try again for many minutes."""
    if address.startswith("ray://"):
        raise UserError(
            "Ray Data does not run through a Ray Client",
            where=address,
            fix="give host:6379 on a machine of the cluster, or use `ray job submit`",
        )
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()


@contextmanager
def _no_standard_error() -> Iterator[None]:
    """Drop what is written to file descriptor 2: Ray's C++ side reports there what ends as an exception anyway."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
