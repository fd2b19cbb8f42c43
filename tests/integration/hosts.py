"""Simulated machines: network namespaces with different addresses, connected by a switch. They share the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.integration.jobs import Job

_PORT = 6379


def why_not() -> str:
    """Why network namespaces cannot be used on this machine; empty if they can."""
    if shutil.which("ip") is None:
        return "the command `ip` is not installed (package iproute2)"
    probe = f"kpray-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make a network namespace: {made.stderr.strip()}"
    _ip("netns", "delete", probe)
    return ""


class Hosts:
    """A Ray cluster on simulated machines: machine 0 is the head, without cores; the workers have one core each.

    Args:
        workers: number of workers.
    """

    def __init__(self, workers: int) -> None:
        self.names = [f"kpray{os.getpid()}-{machine}" for machine in range(workers + 1)]
        self.switch = f"kpray{os.getpid()}-switch"
        self.variables = {"RAY_AUTH_MODE": "disabled", "GLOO_SOCKET_IFNAME": "eth0", "OMP_NUM_THREADS": "1"}
        self.nodes: dict[int, Job] = {}
        self.jobs = ExitStack()

    def __enter__(self) -> Hosts:
        _ip("netns", "add", self.switch)
        _ip("-netns", self.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-netns", self.switch, "link", "set", "bridge", "up")
        for machine, name in enumerate(self.names):
            _ip("netns", "add", name)
            cable = ("type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-netns", self.switch, "link", "add", f"port{machine}", *cable)
            _ip("-netns", self.switch, "link", "set", f"port{machine}", "master", "bridge")
            _ip("-netns", name, "address", "add", f"{self.ip(machine)}/24", "dev", "eth0")
            _ip("-netns", name, "link", "set", "lo", "up")
            _ip("-netns", name, "link", "set", "eth0", "up")
            self.plug(machine)
        self.start_node(0)
        for machine in range(1, len(self.names)):
            self.start_node(machine)
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.close()
        for name in (*self.names, self.switch):
            _ip("netns", "delete", name)

    @property
    def address(self) -> str:
        """Address of the head's Ray."""
        return f"{self.ip(0)}:{_PORT}"

    @staticmethod
    def ip(machine: int) -> str:
        """Address of a machine."""
        return f"10.77.0.{machine + 1}"

    def plug(self, machine: int) -> None:
        """Connect a machine to the switch."""
        _ip("-netns", self.switch, "link", "set", f"port{machine}", "up")

    def unplug(self, machine: int) -> None:
        """Disconnect a machine. All traffic from and to it is lost."""
        _ip("-netns", self.switch, "link", "set", f"port{machine}", "down")

    def start(self, machine: int, *command: str | Path) -> Job:
        """Start a Python script on a machine."""
        inside = ("ip", "netns", "exec", self.names[machine])
        return self.jobs.enter_context(Job(*command, before=inside, variables=self.variables))

    def start_node(self, machine: int) -> None:
        """Start Ray on a machine, and wait until it has joined the cluster."""
        where = (f"--node-ip-address={self.ip(machine)}", "--object-store-memory=200000000", "--block")
        cores = 1 if machine else 0
        head = ("--head", f"--port={_PORT}", "--include-dashboard=false")
        role = head if machine == 0 else (f"--address={self.address}",)
        node = self.start(machine, "-m", "ray.scripts.scripts", "start", *role, *where, f"--num-cpus={cores}")
        while "--block" not in node.read_line():
            assert node.process.poll() is None, node.process.communicate()
        self.nodes[machine] = node

    def kill_node(self, machine: int) -> None:
        """Kill all of Ray on a machine at once, like a power failure."""
        self.nodes.pop(machine).kill()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
