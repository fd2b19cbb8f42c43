"""The contrastive loss over two workers against one."""

from __future__ import annotations

from tests.integration.processes import run_processes
from tests.ramkg.contrastive_runs import ALL, Share, assert_same, run_share, run_shares


def test_two_workers_are_one() -> None:
    cases = [
        [Share([0, 1, 2, 3]), Share([4, 5, 6])],
        [Share([5]), Share([6, 0, 1, 4, 3, 2])],  # 3 and 18 passages
        [Share(ALL), Share(ALL[:1], weight=0.0)],  # more workers than documents
        [Share(ALL[:1], weight=0.0), Share(ALL)],  # and the first occurrence is of the one without weight
    ]
    first, second = run_processes(run_shares, cases, number=2)
    whole = run_share(Share(ALL))
    for one, other in zip(first, second, strict=True):
        assert_same(one, whole)
        assert_same(other, whole)
