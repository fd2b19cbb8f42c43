"""The two stages of an extraction on GPUs: processes that prepare and rank documents, and one process a GPU.

The first stage has as many processes as there are cores. Each handles its chunks as without a GPU, from the raw records
to the part that it writes, but for the model: it sends the token ids of a chunk to a process of the second stage, which
sends the scores back. So a GPU runs large batches, and does not wait for the text of a single process. A chunk is a
call of its own, and its result does not depend on other chunks. The processes of GPUs are no stage of Ray Data, because
prepared documents would have to travel through them to the ranking, which takes longer than the model.

A process of a GPU may die at a record, as any worker may. It notes the call that it runs in a file. When it starts
again, it refuses this call, and the worker that sent the call ends itself, which counts as a death (`deaths.py`).
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray

from kpray.errors import UserError
from kpray.registry import open_model

_SECONDS_BETWEEN_CALLS = 1.0
_MOST_CALLS = 300  # a process that starts again needs seconds, and may die at the calls of others meanwhile


class Killer(Exception):
    """During this call, the process of the GPU died."""


class ModelProcess:
    """Holds the model of a predictor. It is an actor of Ray that is started again after each death.

    Args:
        predictor: argument of `open_model`.
        config: its resolved configuration (`pin_config`).
    """

    def __init__(self, predictor: str, config: Mapping[str, Any]) -> None:
        context = ray.get_runtime_context()
        self._running = Path(tempfile.gettempdir()) / f"kpray-call-{context.get_actor_id()}"
        self._killer = self._running.read_text(encoding="utf-8") if self._running.exists() else ""
        self._running.unlink(missing_ok=True)
        self._error: Exception | None = None
        try:
            self._serve = open_model(predictor, config)
        except Exception as error:  # Ray would start the process again without end; each call raises it instead
            self._error = error

    def node(self) -> str:
        """Id of the node, as soon as the model is open."""
        return str(ray.get_runtime_context().get_node_id())

    def call(self, id: str, method: str, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Call the model.

        Args:
            id: of the call. It is the same when the call is repeated.
            method: the method.
            arguments: its arguments.
            options: its named arguments.

        Raises:
            Killer: the process died during this call before.
        """
        if id == self._killer:
            raise Killer
        if self._error is not None:
            raise self._error
        self._running.write_text(id, encoding="utf-8")
        try:
            return self._serve(method, *arguments, **options)
        finally:
            self._running.unlink()


@contextmanager
def model_processes(
    predictor: str,
    config: Mapping[str, Any],
    count: int,
    *,
    gpus: float = 1,
    process: type[ModelProcess] = ModelProcess,
) -> Iterator[tuple[Any, ...]]:
    """Start the second stage for the block.

    Args:
        predictor: argument of `open_model`.
        config: its resolved configuration.
        count: number of processes.
        gpus: number of GPUs of each.
        process: their class.

    Yields:
        The actors.
    """
    start = ray.remote(process).options(num_cpus=0, num_gpus=gpus, max_restarts=-1)
    actors: tuple[Any, ...] = tuple(start.remote(predictor, config) for _ in range(count))
    try:
        yield actors
    finally:
        for actor in actors:
            ray.kill(actor)  # the GPUs may be needed at once


def model_caller(actors: tuple[Any, ...]) -> Callable[..., Any]:
    """A function for a worker that calls the models in turn, on this node if there are any.

    Args:
        actors: from `model_processes`.

    Returns:
        Takes the name of a method and its arguments. It raises what the method raises. If a process dies, the call is
        repeated; if it died because of this call, this process ends itself.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = [_result(actor.node.remote) for actor in actors]
    near = [actor for actor, node in zip(actors, nodes, strict=True) if node == here] or list(actors)
    random.shuffle(near)
    turns = cycle(near)

    def call(method: str, *arguments: Any, **options: Any) -> Any:
        return _result(partial(next(turns).call.remote, uuid4().hex, method, arguments, options))

    return call


def _result(send: Callable[[], Any]) -> Any:
    """Send a call until it is answered, and return the result or raise what it raised there.

    Raises:
        UserError: the process dies again and again, or no node is left for it.
    """
    for _ in range(_MOST_CALLS):
        try:
            return ray.get(send())
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Killer):
                os.kill(os.getpid(), signal.SIGKILL)
            raise error.cause from error
        except ray.exceptions.RayError:  # the process or its node was lost
            time.sleep(_SECONDS_BETWEEN_CALLS)
    raise UserError("the process that runs the model on a GPU does not start again", fix="see Ray's log for the reason")
