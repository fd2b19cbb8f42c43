"""What starts Ray, Serve or another process lies in tests/integration, so that the other tests are fast."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.commands import ROOT

TESTS = ROOT / "tests"
# Modules that start processes or servers, and what others have that does.
MODULES = {
    *("subprocess", "multiprocessing", "locust", "moto", "playwright", "pexpect", "tests.integration"),
    *("ray.cluster_utils", "ray.job_submission", "ray.scripts"),
}
NAMES = {
    *("ray.init", "serve.run", "serve.start", "os.fork", "os.system", "os.popen", "os.posix_spawn", "os.spawnv"),
    *("Popen", "ProcessPoolExecutor", "run_processes", "object_store", "loaded_after", "start_job"),
}


def found_in(source: str) -> set[str]:
    """Which of the modules and names a Python file uses."""
    used: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Name | ast.Attribute):
            used.add(ast.unparse(node))
        elif isinstance(node, ast.arg):  # fixtures
            used.add(node.arg)
    modules = {module for module in MODULES for name in used if f"{name}.".startswith(f"{module}.")}
    return modules | {name for name in NAMES for one in used if f".{one}".endswith(f".{name}")}


def test_only_integration_tests_start_processes() -> None:
    files = [file for file in TESTS.rglob("*.py") if TESTS / "integration" not in file.parents]
    assert len(files) > 100
    this = Path(__file__)
    found = {str(file.relative_to(TESTS)): found_in(file.read_text("utf-8")) for file in files if file != this}
    assert {file: names for file, names in found.items() if names} == {}


def test_what_starts_a_process_is_seen() -> None:
    assert found_in("import subprocess") == {"subprocess"}
    assert found_in("from subprocess import run") == {"subprocess"}
    assert found_in("from concurrent.futures import ProcessPoolExecutor") == {"ProcessPoolExecutor"}
    assert found_in("from tests.integration.jobs import Job") == {"tests.integration"}
    assert found_in("import ray\nray.init(num_cpus=1)") == {"ray.init"}
    assert found_in("def test_it(start_job): ...") == {"start_job"}
    assert found_in("import ray\nfrom ray import serve\nserve.deployment(run)") == set()
