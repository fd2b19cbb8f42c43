"""Connecting to Ray, or starting a local one."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import ray

from kpray.cluster.preflight import preflight
from kpray.cluster.ray_compat import LOCAL_VARIABLES, no_standard_error
from kpray.errors import UserError
from kpray.report.progress import Activity
from kpray.storage import VARIABLES, Location

_SECONDS_TO_ANSWER = 10.0
_LOCAL = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what its C++ side warns of says nothing to a user
    **LOCAL_VARIABLES,
}


@contextmanager
def ray_session(address: str | None, output: Location | None = None, models: Sequence[str] = ()) -> Iterator[None]:
    """Be connected to Ray inside the block, after a look at what the cluster offers (`kpray.cluster.preflight`).

    A block within another one uses its connection.

    Args:
        address: of a cluster (`auto`, `host:6379`); None: the cluster that this process was
            submitted to, if any, else a Ray of its own on this machine that ends with the block.
        output: where the job will write; None: to no place that all nodes must see.
        models: folders or hub ids of models that the nodes will read.

    Raises:
        UserError: there is no cluster at the address, it refuses us, or a node lacks something.
    """
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    if where == "local":
        for name, value in _LOCAL.items():
            os.environ.setdefault(name, value)
        own["include_dashboard"] = False  # nine processes more, for a page that ends with the job
    else:
        # A Ray of its own inherits them; for any other environment than its own it would start each worker anew.
        names = [name for name in ("NLTK_DATA", "KPRAY_CACHE", *VARIABLES) if name in os.environ]
        own["runtime_env"] = {"env_vars": {name: os.environ[name] for name in names}}
    try:
        _check_reachable(where)
        with no_standard_error(), Activity("starting Ray" if where == "local" else f"connecting to Ray at {where}"):
            ray.init(address=where, logging_level=logging.WARNING, log_to_driver=False, **own)
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
            with Activity("checking the nodes"):
                preflight(output, models)
            yield
        finally:
            ray.shutdown()


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
        with socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER) as connection:
            _check_encryption(connection, host, address)


def _check_encryption(connection: socket.socket, host: str, address: str) -> None:
    """Raise where the cluster and this process do not agree on TLS; Ray would wait for minutes, and not say why."""
    wanted = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    try:
        if wanted:
            context.load_verify_locations(os.environ.get("RAY_TLS_CA_CERT"))
            context.load_cert_chain(os.environ.get("RAY_TLS_SERVER_CERT", ""), os.environ.get("RAY_TLS_SERVER_KEY"))
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.wrap_socket(connection, server_hostname=host).close()
    except (OSError, TypeError) as error:
        if wanted:
            raise UserError(
                f"cannot connect to Ray by TLS: {error}",
                where=address,
                fix="RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT are files, of one authority for all "
                "nodes; a node's certificate names the address that `ray start` shows",
            ) from error
        return  # what it answers is no TLS
    if not wanted:
        raise UserError(
            "the cluster uses TLS",
            where=address,
            fix="set RAY_USE_TLS=1, RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT, as on its nodes",
        )
