"""The benchmark of ranking: what is chosen before any step, and compute at equal regret."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.choosing import BUDGETS, Played, before_table, equal_regret_table, play
from benchmarks.ranking_live import Live, candidate_table, summary_table
from benchmarks.run_tables import Run
from benchmarks.selection.baselines import BASELINES, BEFORE
from benchmarks.selection.equal_regret import compute_for
from benchmarks.selection.pools import Pool
from benchmarks.selection.replay import Bench
from benchmarks.selection.variants import VARIANTS, Variant
from hf_ftrisk.choosing import allocation, beliefs, rank
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from tests.choosing.simulated import Curves

SPENT = np.array([0.1, 0.2, 0.4])
NAMES = ("rank", "random", "last value at 10 %", "ASHA, 3", "full runs")


def pool(signals: dict[str, list[float]], source: str = "a") -> Pool:
    """Three candidates; the last ends best."""
    steps = np.arange(10.0, 101.0, 10.0)
    runs = [
        Run(
            source,
            RunRecord(
                max_steps=100,
                eval_step=steps,
                evals={"eval_accuracy": end * steps / 100.0},
                static={name: values[i] for name, values in signals.items()},
                status="finished",
            ),
            Goal("accuracy"),
        )
        for i, end in enumerate((0.6, 0.7, 0.9))
    ]
    return Pool(source, tuple(runs), "own 0")


@pytest.mark.parametrize(
    ("method", "signal", "values", "chosen"),
    [
        ("LogME alone", "log_me", [0.1, 0.5, 0.3], 1),
        ("zero-shot loss alone", "zero_shot_loss", [0.7, 0.9, 0.2], 2),
    ],
)
def test_a_signal_alone_chooses_by_it_and_trains_nothing(
    method: str, signal: str, values: list[float], chosen: int
) -> None:
    bench = Bench(pool({signal: values}), 0.2)
    assert BEFORE[method](bench, np.random.default_rng(0)) == chosen
    assert bench.spent == 0.0


def test_where_a_signal_ties_the_choice_is_drawn() -> None:
    tied = pool({"log_me": [0.5, 0.1, 0.5]})
    chosen = {
        BEFORE["LogME alone"](Bench(tied, 0.2), np.random.default_rng(seed)) for seed in range(20)
    }
    assert chosen == {0, 2}


@pytest.mark.parametrize(
    ("regret", "compute"), [(9.0, 0.1), (8.0, 0.1), (6.0, 0.15), (3.0, 0.3), (1.0, np.inf)]
)
def test_compute_for_a_regret_lies_between_the_budgets_around_it(
    regret: float, compute: float
) -> None:
    assert compute_for(regret, SPENT, np.array([8.0, 4.0, 2.0])) == pytest.approx(compute)


def test_of_a_regret_that_rises_with_compute_the_first_compute_counts() -> None:
    assert compute_for(4.0, SPENT, np.array([8.0, 4.0, 6.0])) == pytest.approx(0.2)


def test_equal_regret_is_read_off_the_best_asha() -> None:
    budgets = np.array(BUDGETS)
    ours = Played(
        *(np.tile(row, (2, 1)) for row in (8.0 - 8.0 * budgets, budgets, budgets, budgets))
    )
    theirs = Played(
        *(np.tile(row, (2, 1)) for row in (8.0 - 4.0 * budgets, budgets, budgets, budgets))
    )
    worse = Played(theirs.regret + 1.0, theirs.spent, theirs.lost, theirs.exact)
    table = equal_regret_table(
        {"rank": {"a": ours}, "ASHA, 2": {"a": worse}, "ASHA, 3": {"a": theirs}}
    )
    row = next(line for line in table.splitlines() if line.startswith("| 50 %"))
    assert row == "| 50 % | ASHA, 3 | 6.00 | 50 % | 25 % | 50 % | 50 % to 50 % |"


def test_signals_alone_are_played_where_all_candidates_have_them() -> None:
    known = pool({"log_me": [0.1, 0.2, 0.3], "zero_shot_loss": [0.3, 0.2, 0.1]})
    half_known = pool({"log_me": [0.1, 0.2, 0.3]})
    sources = {"a": [half_known, known], "b": [half_known]}
    results = {
        name: {s: play(BASELINES["random"], pools, 1) for s, pools in sources.items()}
        for name in NAMES
    }
    count, table = before_table(sources, results, orders=1)
    assert count == 1
    row = next(line for line in table.splitlines() if line.startswith("| LogME alone"))
    assert row.split(" | ")[1] == "0.00"


def test_a_variant_changes_the_rule_only_while_it_is_in_place() -> None:
    used = Variant()
    with VARIANTS["choice by the last value"].in_place():
        assert beliefs.FORECAST == 0.0
        assert used.first == allocation.FIRST_DEPTH
    assert used.forecast == beliefs.FORECAST


def test_a_live_ranking_is_held_against_its_full_runs(tmp_path: Path) -> None:
    ends: dict[str, float | None] = {"slow": 0.6, "middle": 0.7, "best": 0.9}
    makes = {name: lambda: None for name in ends}
    ranking = rank(makes, "eval_accuracy", engine=Curves(ends), folder=tmp_path, budget=0.5)
    full = pool({})
    runs = tuple(replace(run, group=name) for run, name in zip(full.runs, ends, strict=True))
    live = Live("trec6", ranking, 30.0, 20.0, 0.9, 200.0, Pool("trec6", runs, ""))
    assert (live.regret, live.regret_of("last value at 20 %")) == (0.0, 0.0)
    assert "| trec6 | 200 s | 30 s | 20 s | 25 % | best | 0.900 | 0.900 | 0.0 |" in summary_table(
        [live]
    )
    assert candidate_table([live]).splitlines()[-1].startswith("| best | ")
