"""Connecting to Ray, or starting a local one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from kpray.errors import UserError


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Be connected to Ray inside the block.

    Args:
        address: of a cluster (`auto`, `host:6379`, `ray://host:10001`); None: the cluster that this process was
            submitted to, if any, else a Ray of its own on this machine that ends with the block.

    Raises:
        UserError: there is no cluster at the address, or it refuses us.
    """
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where == "local":
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what its C++ side warns of says nothing to a user
    variables = {name: os.environ[name] for name in ("NLTK_DATA",) if name in os.environ}
    try:
        ray.init(
            address=where,
            runtime_env={"env_vars": variables},
            logging_level=logging.WARNING,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"cannot connect to Ray: {str(error).splitlines()[0]}",
            where=where,
            fix="start one with `ray start --head`, or leave --address out for a local Ray",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
