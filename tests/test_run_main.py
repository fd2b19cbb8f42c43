"""Exit codes and last lines of the commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kpray.errors import UserError
from kpray.settings import run_main


def fail(error: BaseException) -> Callable[[], int | None]:
    def main() -> int | None:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "error"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (fail(UserError("no file", where="a", fix="give one")), 2, "kpray: error: a: no file (give one)\n"),
        (fail(KeyboardInterrupt()), 130, "kpray: interrupted; run the same command again\n"),
    ],
)
def test_run_main(main: Callable[[], int | None], code: int, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        run_main(main)
    assert (exited.value.code, capsys.readouterr().err) == (code, error)


def test_run_main_does_not_hide_another_broken_pipe() -> None:
    with pytest.raises(BrokenPipeError, match="a socket"):
        run_main(fail(BrokenPipeError("a socket")))
