"""`kpray serve`: runs Ray, Ray Serve and the application on this machine until it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Annotated

from pydantic import Field

from kpray.cluster.ray_compat import PROXY_VARIABLE
from kpray.errors import UserError
from kpray.log import say
from kpray.serve.api_keys import Keys, exposure_warning
from kpray.serve.config import ServeConfig, served_models
from kpray.serve.proxy_middleware import BODY_VARIABLE, PROXY_MIDDLEWARES

APPLICATION = "kpray"
_START_SECONDS = 180  # time for Serve's proxy to start
_IDLE_SECONDS = 15  # of a connection between two requests
_PROXY_SECONDS = 10.0  # Serve's proxy gives up this much later than the ingress, which may hang


class ServeCommand(ServeConfig):
    """Settings of `kpray serve`."""

    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 listens on all addresses of this machine."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Port to listen on."""


def run_server(command: ServeCommand) -> None:
    """Serve until SIGINT or SIGTERM. Running requests are finished before the service ends.

    Raises:
        UserError: a field is wrong, a model cannot be opened, or the address is not available.
    """
    from kpray.cluster.session import ray_session

    _check_address(command.host, command.port)
    served_models(command)  # reports errors before Ray starts, because that is slow
    keys = Keys(command.api_keys)
    # Serve's default of 5 s is too short for a busy machine: Serve would restart the proxy again and again.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", str(_START_SECONDS))
    os.environ.setdefault(PROXY_VARIABLE, PROXY_MIDDLEWARES)
    os.environ[BODY_VARIABLE] = str(command.limits.body_bytes)
    with ray_session("local"):
        from ray import serve
        from ray.exceptions import RayError

        from kpray.serve.deployment import LOG, build

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        # Pass only the given options, because sections of predictors that are not served must stay empty.
        given = command.model_dump(mode="json", exclude_unset=True, exclude={"host", "port"})
        application = build({**given, "hosts": [*command.hosts, command.host]})
        warning = exposure_warning(command.host, keys)
        if warning:
            say("warning", f"warning: {warning}")
        seconds = command.limits.seconds + _PROXY_SECONDS
        options = {
            "host": command.host,
            "port": command.port,
            "request_timeout_s": seconds,
            "keep_alive_timeout_s": _IDLE_SECONDS,
        }
        try:
            with suppress(TimeoutError):  # the proxy is still starting
                serve.start(proxy_location="HeadOnly", http_options=options, logging_config=LOG)
            serve.run(application, name=APPLICATION, route_prefix="/")
            _wait_until_ready(command.host, command.port)
            stop = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            say("ready", f"ready at http://{_url_host(command.host)}:{command.port}/")
            stop.wait()
        except (RuntimeError, TimeoutError, RayError) as error:  # Serve raises these if its processes do not start
            raise UserError(f"the service did not start: {_last_reason(str(error))}") from error
        finally:
            serve.shutdown()


def _wait_until_ready(host: str, port: int) -> None:
    """Wait until the service answers requests.

    Raises:
        TimeoutError: it does not answer within `_START_SECONDS`.
    """
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        connection = HTTPConnection(reachable, port, timeout=_PROXY_SECONDS)
        with suppress(OSError, HTTPException), closing(connection):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == HTTPStatus.OK:
                return
        time.sleep(0.2)
    raise TimeoutError(f"it does not answer after {_START_SECONDS} seconds")


def _check_address(host: str, port: int) -> None:
    """Check that an address is available. Serve would only report that its proxy did not start.

    Raises:
        UserError: the address is not available.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        where = f"{host}:{port}"
        raise UserError(
            f"cannot listen: {error.strerror}", where=where, fix="choose another --host or --port"
        ) from error


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _last_reason(message: str) -> str:
    """The last line of a traceback with an error; otherwise the last line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "unknown reason")
