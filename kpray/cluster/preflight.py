"""What a cluster must offer before a job starts its work: asked of every node at once, answered in seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kpray.cluster.job import writing
from kpray.errors import UserError
from kpray.log import say
from kpray.storage import Location, is_object, location, reason_of
from kpray.versions import versions

SAME_VERSIONS = ("python", "kpray", "ray", "torch", "transformers")
_SECONDS_TO_ANSWER = 120.0  # a worker process must start first, which takes seconds where a node is not busy


def preflight(output: Location | None, models: Sequence[str] = ()) -> None:
    """See that every node of the cluster can do its part; on a cluster of several, a line for each answer.

    Args:
        output: an absolute path to write to, which all nodes must see as the same folder; None: nothing is written.
        models: folders or hub ids of models that the nodes will read.

    Raises:
        UserError: the first thing that is wrong, on which node, and how to mend it.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = _alive()
    others = {id: address for id, address in nodes.items() if id != here}
    with _shared_file(output) as shared:
        if not others:
            return  # what this machine lacks, it says itself when it gets there
        answers = _ask(others, shared, tuple(models))
    for id, answer in answers.items():
        _check_answer(answer, others[id], output)
    total = {name: sum(resources.get(name, 0) for resources in node_resources()) for name in _UNITS}
    _say(f"{len(nodes)} nodes, {_amounts(total)}")
    _say("the same versions on all: " + ", ".join(f"{name} {versions()[name]}" for name in SAME_VERSIONS))
    if output is not None:
        _say(f"{output}: written by all, and the same for all")
    if models:
        _say(f"{', '.join(models)}: read by all")


def _alive() -> dict[str, str]:
    """Addresses of the nodes, by their ids."""
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def node_resources() -> list[Mapping[str, float]]:
    """Resources of each living node of the cluster that Ray is connected to."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def check_room(workers: int, needs: Mapping[str, float], nodes: Sequence[Mapping[str, float]], where: str) -> None:
    """See that workers fit on the nodes, each as a whole on one.

    Args:
        workers: how many.
        needs: resources of each.
        nodes: resources of each.
        where: the field that asks for them.

    Raises:
        UserError: they do not; says what there is, node by node. Ray would wait for it forever.
    """
    fitting = sum(min(int(node.get(name, 0) / need + 1e-9) for name, need in needs.items() if need) for node in nodes)
    if fitting < workers:
        there = "; ".join(_amounts(node) for node in nodes) or "none"
        raise UserError(
            f"{workers} workers of {_amounts(needs)} each need {_amounts(needs, workers)}, and "
            f"{fitting} fit on the nodes there are ({there})",
            where=where,
            fix="ask for less, or wait for more nodes: `ray status` names those that are coming",
        )


_UNITS = {"CPU": "cores", "GPU": "GPUs"}


def _amounts(resources: Mapping[str, float], times: int = 1) -> str:
    return " and ".join(f"{resources[name] * times:.4g} {unit}" for name, unit in _UNITS.items() if resources.get(name))


def _say(answer: str) -> None:
    say("preflight", f"preflight: {answer}")


@contextmanager
def _shared_file(output: Location | None) -> Iterator[Location | None]:
    """A file in the output folder that only this job can know of; gone at the end."""
    if output is None:
        yield None
        return
    file = output / f".preflight-{uuid4().hex}.tmp"
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        file.write_text("kpray", encoding="utf-8")
    try:
        yield file
    finally:
        with writing(output):
            file.unlink(missing_ok=True)


def _ask(nodes: Mapping[str, str], shared: Location | None, models: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Answers of the nodes, by their ids; without those that were lost meanwhile."""
    questions = {
        id: _answer.options(scheduling_strategy=NodeAffinitySchedulingStrategy(id, soft=False)).remote(shared, models)
        for id in nodes
    }
    answers: dict[str, dict[str, Any]] = {}
    ray.wait(list(questions.values()), num_returns=len(questions), timeout=_SECONDS_TO_ANSWER)
    for id, question in questions.items():
        try:
            answers[id] = ray.get(question, timeout=0.1)
        except ray.exceptions.GetTimeoutError as error:
            raise UserError(
                f"the node did not answer within {_SECONDS_TO_ANSWER:.0f} seconds",
                where=nodes[id],
                fix="see `ray status`, and the node's logs in `ray logs`",
            ) from error
        except ray.exceptions.RayError as error:  # kpray is not there, or another Python
            if id not in _alive():
                continue  # a spot machine goes when it goes, which the work itself survives
            *_, reason = str(error).strip().splitlines()
            raise UserError(
                f"the node cannot run kpray: {reason}",
                where=nodes[id],
                fix="install the same kpray on every node, or submit it with the job's runtime environment",
            ) from error
    return answers


@ray.remote(num_cpus=0, max_retries=0)
def _answer(shared: Location | None, models: tuple[str, ...]) -> dict[str, Any]:
    """What a node can do: its versions, and why it cannot write or read where it cannot."""
    found: dict[str, Any] = {"versions": versions(), "write": "", "shared": True, "models": {}}
    if shared is not None:
        try:
            found["shared"] = shared.exists()
            own = shared.with_name(f".preflight-{uuid4().hex}.tmp")
            own.write_text("kpray", encoding="utf-8")
            own.unlink()
        except OSError as error:
            found["write"] = reason_of(error)
    for model in models:
        found["models"][model] = _unreadable(model)
    return found


def _unreadable(model: str) -> str:
    """Why a model cannot be read here; empty where it can. Of a folder every file is opened, of a hub id the first."""
    try:
        if is_object(model):
            return "" if location(model).is_dir() else "no such folder"
        if os.path.isabs(model):
            files = [file for file in Path(model).iterdir() if file.is_file()]
            for file in files:
                file.open("rb").close()
            return "" if files else "the folder is empty"
        from transformers import AutoConfig

        from kpray.pretrained import load_pretrained

        load_pretrained(AutoConfig, model)
    except OSError as error:
        return reason_of(error)
    except UserError as error:
        return error.what
    return ""


def _check_answer(answer: Mapping[str, Any], address: str, output: Location | None) -> None:
    for name in SAME_VERSIONS:
        # Without what follows a +, which says for which GPU torch was built.
        here, there = (found.get(name, "none").partition("+")[0] for found in (versions(), answer["versions"]))
        if there != here:
            raise UserError(
                f"the node has {name} {there}, this one {here}",
                where=address,
                fix="give every node the same image, or the job the runtime environment that `make submission` writes",
            )
    if answer["write"]:
        fix = "mount it there, or choose an --output that every node can write to"
        raise UserError(f"the node cannot write to {output}: {answer['write']}", where=address, fix=fix)
    if not answer["shared"]:
        fix = "choose an --output that all nodes share: a network mount, or s3:// or gs:// where the job takes it"
        raise UserError(f"on the node {output} is another folder", where=address, fix=fix)
    for model, reason in answer["models"].items():
        if reason:
            fix = "put it at the same path on every node, or into a folder that all share"
            raise UserError(f"the node cannot read the model {model}: {reason}", where=address, fix=fix)
