"""Errors as users see them, and errors from another process."""

from __future__ import annotations

import pickle

import pytest

from kpray.errors import UserError
from kpray.settings import run_main


def test_an_error_is_one_line_with_its_location_and_fix() -> None:
    assert str(UserError("it is\nwrong")) == "it is wrong"
    assert str(UserError("it is wrong", where="file:3", fix="change it")) == "file:3: it is wrong (change it)"


def test_an_error_can_be_pickled() -> None:
    error = UserError("it is wrong", where="file:3", fix="change it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UserError
    assert (str(again), again.args) == (str(error), error.args)


def test_a_missing_module_of_an_extra_is_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise ModuleNotFoundError("No module named 'ray.train'", name="ray.train")

    with pytest.raises(SystemExit) as end:
        run_main(main)
    assert (end.value.code, capsys.readouterr().err) == (
        2,
        "kpray: error: ray is not installed (pip install 'kpray[cluster]')\n",
    )


def test_any_other_missing_module_is_not_a_user_error() -> None:
    def main() -> int:
        raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere")

    with pytest.raises(ModuleNotFoundError):
        run_main(main)
