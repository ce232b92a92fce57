"""The list of checks, and the page that prints it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.diagnoses.checks import ANYTHING, CHECKS, checks_table, diagnose

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_table_of_the_list():
    page = (ROOT / "docs" / "reference" / "diagnoses.md").read_text(encoding="utf-8")
    start, end = "<!-- diagnoses: start -->\n", "\n<!-- diagnoses: end -->"
    assert page[page.index(start) + len(start) : page.index(end)] == checks_table()


def test_a_finding_that_replaces_others_comes_before_them():
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.unless) - {ANYTHING} <= seen
        seen |= set(check.name.split(", "))


def test_a_run_that_was_never_there_has_no_findings():
    assert diagnose(RunRecord(max_steps=10), Goal("accuracy")) == ()


def test_losses_of_exactly_zero_do_not_rise():
    steps = np.arange(1, 11) * 10.0
    run = RunRecord(
        max_steps=100,
        train_step=steps,
        train_loss=np.zeros(10),
        eval_step=steps,
        evals={"eval_loss": np.zeros(10)},
    )
    assert diagnose(run, Goal("loss")) == ()


def test_a_loss_below_zero_that_comes_up_is_overfitting_and_one_that_falls_is_not():
    steps = np.arange(1, 11) * 10.0
    train = np.linspace(-1.0, -4.0, 10)
    for held_out, names in (
        ([-1, -1.5, -2, -2.4, -2.2, -2.0, -1.8, -1.7, -1.6, -1.5], ["overfitting"]),
        (np.linspace(-1, -3, 10), []),
    ):
        run = RunRecord(
            max_steps=100,
            train_step=steps,
            train_loss=train,
            eval_step=steps,
            evals={"eval_loss": np.asarray(held_out, dtype=float)},
        )
        assert [one.name for one in diagnose(run, Goal("loss"))] == names
