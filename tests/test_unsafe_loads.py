"""No call in kpray runs code that a file holds."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Functions that run code in the file that they read, by the last parts of their names.
UNSAFE = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "dill.load"),
    *("joblib.load", "shelve.open", "marshal.load", "marshal.loads", "pd.read_pickle", "pandas.read_pickle"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader"),
    *("yaml.FullLoader", "torch.jit.load", "np.fromregex"),
}
#: File -> number of its calls, which read what the same job has pickled, and no file.
OWN = {"kpray/batch/actors.py": 1, "kpray/batch/chunks.py": 1}


def test_no_load_runs_code() -> None:
    found: Counter[str] = Counter()
    for file in sorted([*ROOT.glob("kpray/**/*.py"), *ROOT.glob("jobs/*.py"), *ROOT.glob("benchmarks/*.py")]):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            where = f"{file}:{node.lineno}"
            if name == "torch.load":
                assert given.get("weights_only") == "True", where
            elif name in ("np.load", "numpy.load"):
                assert given.get("allow_pickle", "False") == "False", where
            elif name in UNSAFE:
                found[str(file.relative_to(ROOT))] += 1
    assert found == OWN
    names = {f"{module}.{name}" for module, names in imported_names().items() for name in names}
    assert not names & {*UNSAFE, "torch.load", "numpy.load"}  # a call would go unnoticed


def imported_names() -> dict[str, set[str]]:
    """Names that are imported by `from MODULE import NAME` in kpray: module -> names."""
    found: dict[str, set[str]] = {}
    for file in ROOT.glob("kpray/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
    return found
