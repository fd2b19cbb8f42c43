"""Errors as they are shown, and as they come from another process."""

from __future__ import annotations

import pickle

from kpray.errors import UserError


def test_one_line_that_says_where_and_how_to_mend_it() -> None:
    assert str(UserError("it is\nwrong")) == "it is wrong"
    assert str(UserError("it is wrong", where="file:3", fix="mend it")) == "file:3: it is wrong (mend it)"


def test_error_of_another_process() -> None:
    error = UserError("it is wrong", where="file:3", fix="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UserError
    assert (str(again), again.args) == (str(error), error.args)
