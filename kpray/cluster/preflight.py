"""Checks of the whole cluster before a job starts. All nodes are checked at the same time, which takes seconds."""

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
from kpray.hub import download, is_hub_id
from kpray.log import say
from kpray.pretrained import has_bfloat16
from kpray.storage import Location, is_object, location, reason_of
from kpray.versions import versions

SAME_VERSIONS = ("python", "kpray", "ray", "torch", "transformers")
_SECONDS_TO_ANSWER = 120.0  # includes the start of a worker process, which takes seconds on an idle node


def preflight(output: Location | None, models: Sequence[str] = (), *, bfloat16: bool = False) -> None:
    """Check versions, the output folder and the models on every node. Logs the results if there are several nodes.

    Args:
        output: absolute path of the output folder, which all nodes must share; None: the job writes no output.
        models: folders or hub ids of the models that the nodes will load.
        bfloat16: whether models run in bfloat16 on processors. GPUs have instructions for it.

    Raises:
        UserError: a check failed. The error names the first problem, the node and the fix.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = _alive()
    others = {id: address for id, address in nodes.items() if id != here}
    with _shared_file(output) as shared:
        if not others:
            return  # problems of this machine are reported when the job meets them
        answers = _ask(others, shared, tuple(models))
    total = {name: sum(resources.get(name, 0) for resources in node_resources()) for name in _UNITS}
    for id, answer in answers.items():
        _check_answer(answer, others[id], output, bfloat16=bfloat16 and not total["GPU"])
    _say(f"{len(nodes)} nodes, {_amounts(total)}")
    _say("all nodes have the same versions: " + ", ".join(f"{name} {versions()[name]}" for name in SAME_VERSIONS))
    if output is not None:
        _say(f"{output}: all nodes share it and can write to it")
    if models:
        _say(f"{', '.join(models)}: all nodes can read it")


def _alive() -> dict[str, str]:
    """Map the id of each living node to its address."""
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def node_resources() -> list[Mapping[str, float]]:
    """Resources of each living node of the connected cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def check_room(workers: int, needs: Mapping[str, float], nodes: Sequence[Mapping[str, float]], where: str) -> None:
    """Check that the workers fit on the nodes. A worker cannot be split between nodes.

    Args:
        workers: number of workers.
        needs: resources that each worker needs.
        nodes: resources of each node.
        where: the settings field that asks for the workers, for the error message.

    Raises:
        UserError: they do not fit. The error lists the resources of each node. Ray itself would wait forever.
    """
    fitting = sum(min(int(node.get(name, 0) / need + 1e-9) for name, need in needs.items() if need) for node in nodes)
    if fitting < workers:
        there = "; ".join(_amounts(node) for node in nodes) or "none"
        raise UserError(
            f"{workers} workers of {_amounts(needs)} each need {_amounts(needs, workers)}, and "
            f"{fitting} fit on the nodes of the cluster ({there})",
            where=where,
            fix="ask for less, or wait for more nodes: `ray status` lists the nodes that are starting",
        )


_UNITS = {"CPU": "cores", "GPU": "GPUs"}


def _amounts(resources: Mapping[str, float], times: int = 1) -> str:
    return " and ".join(f"{resources[name] * times:.4g} {unit}" for name, unit in _UNITS.items() if resources.get(name))


def _say(answer: str) -> None:
    say("preflight", f"preflight: {answer}")


@contextmanager
def _shared_file(output: Location | None) -> Iterator[Location | None]:
    """Write a file with a random name into the output folder, for the nodes to look for, and remove it at the end."""
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
    """Map the id of each node to its answer. Nodes that die meanwhile are left out."""
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
        except ray.exceptions.RayError as error:  # for example, kpray is not installed or Python differs
            if id not in _alive():
                continue  # a spot machine was taken away; the job itself survives that, too
            *_, reason = str(error).strip().splitlines()
            raise UserError(
                f"the node cannot run kpray: {reason}",
                where=nodes[id],
                fix="install the same version of kpray on every node, or submit kpray in the job's runtime environment",
            ) from error
    return answers


@ray.remote(num_cpus=0, max_retries=0)
def _answer(shared: Location | None, models: tuple[str, ...]) -> dict[str, Any]:
    """Check the node that runs this task.

    Returns:
        `versions`: versions of its libraries. `write`: why it cannot write to the output folder; empty: it can.
        `shared`: whether it sees the shared file. `models`: model -> why it cannot be read; empty: it can.
        `bfloat16`: whether its processor has instructions for it.
    """
    found: dict[str, Any] = {
        "versions": versions(),
        "write": "",
        "shared": True,
        "models": {},
        "bfloat16": has_bfloat16(),
    }
    if shared is not None:
        try:
            found["shared"] = shared.exists()
            file = shared.with_name(f".preflight-{uuid4().hex}.tmp")
            file.write_text("kpray", encoding="utf-8")
            file.unlink()
        except OSError as error:
            found["write"] = reason_of(error)
    for model in models:
        found["models"][model] = _unreadable(model)
    return found


def _unreadable(model: str) -> str:
    """Why this node cannot read a model; empty if it can. Opens every file of a folder, or the config of a hub id."""
    try:
        if is_object(model):
            return "" if location(model).is_dir() else "the folder does not exist or is empty"
        if os.path.isabs(model):
            files = [file for file in Path(model).iterdir() if file.is_file()]
            for file in files:
                file.open("rb").close()
            return "" if files else "the folder is empty"
        if "@" in model and is_hub_id(model):  # a predictor
            download(model)
            return ""
        from transformers import AutoConfig

        from kpray.pretrained import load_pretrained

        load_pretrained(AutoConfig, model)
    except OSError as error:
        return reason_of(error)
    except UserError as error:
        return error.what
    return ""


def _check_answer(answer: Mapping[str, Any], address: str, output: Location | None, *, bfloat16: bool = False) -> None:
    for name in SAME_VERSIONS:
        # The part after the + names the device that torch was built for. It may differ.
        here, there = (found.get(name, "none").partition("+")[0] for found in (versions(), answer["versions"]))
        if there != here:
            raise UserError(
                f"the node has {name} {there}, but this machine has {here}",
                where=address,
                fix="use the same image on every node, or the runtime environment that `make submission` writes",
            )
    if answer["write"]:
        fix = "mount the folder on the node, or choose an --output that every node can write to"
        raise UserError(f"the node cannot write to {output}: {answer['write']}", where=address, fix=fix)
    if not answer["shared"]:
        fix = "choose an --output that all nodes share: a network mount, or s3:// or gs:// if the job supports it"
        raise UserError(f"the node does not share the folder {output} with this machine", where=address, fix=fix)
    for model, reason in answer["models"].items():
        if reason:
            fix = "put the model at the same path on every node, or into a shared folder"
            raise UserError(f"the node cannot read the model {model}: {reason}", where=address, fix=fix)
    if bfloat16 and not answer["bfloat16"]:
        what = "the job computes in bfloat16, for which the node's processor has no instructions"
        raise UserError(what, where=address, fix="set the dtype of the predictor to float32, or leave the node out")
