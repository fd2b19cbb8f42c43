"""Connects to a Ray cluster, or starts a local Ray."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import ray

from kpray.cluster.preflight import preflight
from kpray.cluster.private import check_token_file, own_token, session_folder
from kpray.cluster.ray_compat import LOCAL_VARIABLES, no_standard_error, on_loopback
from kpray.errors import UserError
from kpray.report.progress import Activity
from kpray.storage import VARIABLES, Location

_SECONDS_TO_ANSWER = 10.0
_LOCAL = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # warnings of Ray's C++ code do not help a user
    **LOCAL_VARIABLES,
}


@contextmanager
def ray_session(
    address: str | None, output: Location | None = None, models: Sequence[str] = (), *, bfloat16: bool = False
) -> Iterator[None]:
    """Connect to Ray for the block, and check the nodes (`kpray.cluster.preflight`).

    A nested block reuses the connection.

    Args:
        address: address of a cluster (`auto`, `host:6379`). None: the cluster that this process was submitted to;
            otherwise a local Ray that ends with the block.
        output: output folder that all nodes must share; None: the job has none.
        models: folders or hub ids of the models that the nodes will load.
        bfloat16: whether models run in bfloat16 on processors.

    Raises:
        UserError: no cluster answers at the address, it refuses the connection, or a node fails a check.
    """
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    with own_token() if where == "local" else nullcontext(), redirect_stdout(sys.stderr):
        # Ray prints lost workers and nodes; standard output is for results.
        _connect(where)
        try:
            with Activity("checking the nodes"):
                preflight(output, models, bfloat16=bfloat16)
            yield
        finally:
            ray.shutdown()


def _connect(where: str) -> None:
    options: dict[str, Any] = {}
    if where == "local":
        for name, value in _LOCAL.items():
            os.environ.setdefault(name, value)
        # Without its dashboard, Ray starts nine processes fewer.
        options = {"include_dashboard": False, "_temp_dir": session_folder()}
    else:
        check_token_file()
        # A local Ray inherits these variables. With a runtime environment it would restart each worker.
        names = [name for name in ("NLTK_DATA", "KPRAY_CACHE", *VARIABLES) if name in os.environ]
        options["runtime_env"] = {"env_vars": {name: os.environ[name] for name in names}}
    try:
        _check_reachable(where)
        with (
            no_standard_error(),
            Activity("starting Ray" if where == "local" else f"connecting to Ray at {where}"),
            on_loopback() if where == "local" else nullcontext(),
            _keeping_handler(signal.SIGTERM),
        ):
            ray.init(address=where, logging_level=logging.WARNING, log_to_driver=False, **options)
    except UserError:
        raise
    except Exception as error:  # Ray raises a bare Exception when a node does not start in time
        reason = str(error).partition("\n")[0]
        if where == "local":
            raise UserError(
                f"cannot start Ray: {reason}", fix="run the command again when this machine is less busy"
            ) from error
        raise UserError(
            f"cannot connect to Ray: {reason}",
            where=where,
            fix="start a cluster with `ray start --head`, set RAY_AUTH_TOKEN to its token if it has one, "
            "or omit --address to use a local Ray",
        ) from error


@contextmanager
def _keeping_handler(number: signal.Signals) -> Iterator[None]:
    """Restore the handler of a signal after the block. Ray installs one that prints a stack trace."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set handlers
        return
    handler = signal.getsignal(number)
    try:
        yield
    finally:
        signal.signal(number, handler)


def _check_reachable(address: str) -> None:
    """Connect to host:port once, because Ray would retry for many minutes.

    Raises:
        OSError: nothing listens there.
        UserError: the address is of Ray Client, or TLS is set on one side only.
    """
    if address.startswith("ray://"):
        raise UserError(
            "Ray Data does not work through Ray Client (ray://)",
            where=address,
            fix="give host:6379 on a machine of the cluster, or use `ray job submit`",
        )
    host, _, port = address.rpartition(":")
    if port.isdigit():
        with socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER) as connection:
            _check_encryption(connection, host, address)


def _check_encryption(connection: socket.socket, host: str, address: str) -> None:
    """Check that the cluster and this process agree on TLS. Ray would wait for minutes without a reason.

    Raises:
        UserError: only one of them uses TLS, or a certificate is wrong.
    """
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
                f"cannot connect to Ray with TLS: {error}",
                where=address,
                fix="set RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT to files; all nodes need "
                "certificates of the same authority, for the address that `ray start` shows",
            ) from error
        return  # the cluster does not use TLS
    if not wanted:
        raise UserError(
            "the cluster uses TLS",
            where=address,
            fix="set RAY_USE_TLS=1, RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT as on its nodes",
        )
