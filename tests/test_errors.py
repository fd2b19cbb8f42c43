"""Errors as they are shown, and as they come from another process."""

from __future__ import annotations

import pickle

import pytest

from kpray.errors import UserError
from kpray.settings import run_main


def test_one_line_that_says_where_and_how_to_mend_it() -> None:
    assert str(UserError("it is\nwrong")) == "it is wrong"
    assert str(UserError("it is wrong", where="file:3", fix="mend it")) == "file:3: it is wrong (mend it)"


def test_error_of_another_process() -> None:
    error = UserError("it is wrong", where="file:3", fix="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UserError
    assert (str(again), again.args) == (str(error), error.args)


def test_a_module_of_an_extra_that_is_missing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise ModuleNotFoundError("No module named 'ray.train'", name="ray.train")

    with pytest.raises(SystemExit) as end:
        run_main(main)
    assert (end.value.code, capsys.readouterr().err) == (
        2,
        "kpray: error: ray is not installed (pip install 'kpray[cluster]')\n",
    )


def test_any_other_module_that_is_missing_is_a_fault() -> None:
    def main() -> int:
        raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere")

    with pytest.raises(ModuleNotFoundError):
        run_main(main)
