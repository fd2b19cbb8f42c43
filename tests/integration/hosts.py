"""Machines with addresses of their own on this one: network namespaces that share its disk, joined by a switch."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.integration.jobs import Job

_PORT = 6379


def why_not() -> str:
    """Why there can be no such machines here; empty where there can."""
    if shutil.which("ip") is None:
        return "there is no `ip` (package iproute2)"
    probe = f"kpray-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    _ip("netns", "delete", probe)
    return ""


class Hosts:
    """A Ray cluster over machines of its own: a head without work, and workers of one core each.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.names = [f"kpray{os.getpid()}-{place}" for place in range(workers + 1)]
        self.switch = f"kpray{os.getpid()}-switch"
        self.variables = {"RAY_AUTH_MODE": "disabled", "GLOO_SOCKET_IFNAME": "eth0", "OMP_NUM_THREADS": "1"}
        self.nodes: dict[int, Job] = {}
        self.jobs = ExitStack()

    def __enter__(self) -> Hosts:
        _ip("netns", "add", self.switch)
        _ip("-netns", self.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-netns", self.switch, "link", "set", "bridge", "up")
        for place, name in enumerate(self.names):
            _ip("netns", "add", name)
            cable = ("type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-netns", self.switch, "link", "add", f"port{place}", *cable)
            _ip("-netns", self.switch, "link", "set", f"port{place}", "master", "bridge")
            _ip("-netns", name, "address", "add", f"{self.ip(place)}/24", "dev", "eth0")
            _ip("-netns", name, "link", "set", "lo", "up")
            _ip("-netns", name, "link", "set", "eth0", "up")
            self.plug(place)
        self.start_node(0)
        for place in range(1, len(self.names)):
            self.start_node(place)
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.close()
        for name in (*self.names, self.switch):
            _ip("netns", "delete", name)

    @property
    def address(self) -> str:
        """Of the head's Ray."""
        return f"{self.ip(0)}:{_PORT}"

    @staticmethod
    def ip(place: int) -> str:
        """Address of a machine; the head is 0."""
        return f"10.77.0.{place + 1}"

    def plug(self, place: int) -> None:
        """Join a machine to the switch."""
        _ip("-netns", self.switch, "link", "set", f"port{place}", "up")

    def unplug(self, place: int) -> None:
        """Cut its cable: what it sends and what is sent to it is lost."""
        _ip("-netns", self.switch, "link", "set", f"port{place}", "down")

    def start(self, place: int, *command: str | Path) -> Job:
        """Start a Python script on a machine."""
        inside = ("ip", "netns", "exec", self.names[place])
        return self.jobs.enter_context(Job(*command, before=inside, variables=self.variables))

    def start_node(self, place: int) -> None:
        """Start Ray on a machine, and wait until it belongs to the cluster."""
        where = (f"--node-ip-address={self.ip(place)}", "--object-store-memory=200000000", "--block")
        cores = 1 if place else 0
        role = (
            ("--head", f"--port={_PORT}", "--include-dashboard=false") if place == 0 else (f"--address={self.address}",)
        )
        node = self.start(place, "-m", "ray.scripts.scripts", "start", *role, *where, f"--num-cpus={cores}")
        while "--block" not in node.read_line():
            assert node.process.poll() is None, node.process.communicate()
        self.nodes[place] = node

    def kill_node(self, place: int) -> None:
        """All of Ray on a machine, at once, as when its power is cut."""
        self.nodes.pop(place).kill()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
