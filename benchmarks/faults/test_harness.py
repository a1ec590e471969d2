"""The harness itself: its plan follows from the seed, and it takes a commit for what its ledger says."""

import random
from collections import Counter
from pathlib import Path

from benchmarks.faults.board import Board, BoardSlot
from benchmarks.faults.judge import ledgers
from benchmarks.faults.storm import FaultRates, Storm

RATES = FaultRates(kills=40, pubsub_down=20.0, redis_down=3.0, topic_gone=1.0)


def test_the_same_seed_plans_the_same_faults_and_another_one_others() -> None:
    plans = [RATES.plan(random.Random(seed)) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_a_plan_contains_each_fault_as_often_as_configured() -> None:
    planned = Counter(name for step in RATES.plan(random.Random(1)) for name in step)
    assert planned == RATES.faults()
    assert all(callable(getattr(Storm, name)) for name in planned)


def test_a_transaction_without_an_end_in_the_ledger_is_in_doubt(tmp_path: Path) -> None:
    (tmp_path / "ledger-0.log").write_text("B 1 3\nC 1 10.5\nB 2 4\nR 2 11\nB 3 5\nU 3 12\nB 4 6\n")
    assert sorted(ledgers(tmp_path)) == [
        (1, 3, "C", 10.5),
        (2, 4, "R", 11),
        (3, 5, "U", 12),
        (4, 6, "U", None),
    ]


def test_processes_see_each_others_numbers(tmp_path: Path) -> None:
    mine, theirs = Board(tmp_path / "board", create=True), Board(tmp_path / "board")
    mine[BoardSlot.COMMITTED], mine[BoardSlot.COMMITTED + 1] = 7, 8
    assert theirs.total(BoardSlot.COMMITTED) == 15
