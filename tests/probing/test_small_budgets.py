"""What is said when the budget buys next to nothing: little, and plainly."""

from __future__ import annotations

import re

import pytest

from hf_ftrisk.goal import Goal
from hf_ftrisk.probing.options import PreflightOptions
from hf_ftrisk.probing.report import preflight_report
from hf_ftrisk.probing.session import PreflightSession
from hf_ftrisk.report import RiskReport
from tests.probing.simulated import SimulatedSetup


def probed(budget: float, goal: str = "eval_accuracy>=0.8", **options) -> RiskReport:
    """A pre-flight of a run of 200 steps that ends near 0.9."""
    setup = SimulatedSetup(max_steps=200)
    session = PreflightSession(setup, PreflightOptions(Goal.parse(goal), budget, **options))
    session.run()
    return preflight_report(session)


def test_a_probe_says_how_many_evaluation_rows_it_saw() -> None:
    report = probed(0.1)
    seen = report.settings["eval_rows"]
    assert 0 < seen < 400
    assert {probe.settings["eval_rows"] for probe in report.probes} == {seen}


@pytest.mark.parametrize("budget", [0.01, 0.015, 0.02, 0.03])
def test_one_depth_gives_a_wide_forecast_and_no_split_of_its_uncertainty(budget) -> None:
    report = probed(budget)
    assert len({look.step for look in report.looks if look.step > 0}) == 1
    assert (report.decomposition, report.optimal_depth) == (None, None)
    assert any(note.startswith("No risk curve, c* or regime") for note in report.notes)
    low, high = report.forecast.interval(0.9)
    assert high - low > 0.2
    assert report.verdict == "UNDECIDED"
    assert "below the 0.8 that GO needs" in report.reasons[0]


def test_what_is_not_known_is_not_drawn_up_as_if_it_were() -> None:
    text = probed(0.015).to_markdown()
    assert "- No risk curve" in text
    assert "| Uncertainty | not estimated |" in text
    assert not any(f"| {name}" in text for name in ("Regime", "Irreducible", "Best probing"))
    assert "mostly reflects what is usual for such runs" in text


def test_a_budget_without_a_look_at_all_is_undecided_and_says_what_would_do() -> None:
    report = probed(0.006)
    assert report.verdict == "UNDECIDED"
    assert report.forecast is None
    assert any("budget=" in note for note in report.notes)


def test_the_budget_that_is_named_would_do_where_evaluating_is_dearer_than_was_thought() -> None:
    def tried(budget: float) -> RiskReport:
        dear = SimulatedSetup(max_steps=20, row_seconds=0.25)  # 16 rows cost 4 steps
        session = PreflightSession(dear, PreflightOptions(Goal.parse("eval_accuracy"), budget))
        session.run()
        return preflight_report(session)

    report = tried(0.3)
    note = next(note for note in report.notes if note.startswith("No forecast: 1.0 of the budget"))
    named = float(re.search(r"give budget=(\S+) or more", note).group(1))
    assert named > 0.3
    assert report.forecast is None
    assert tried(named).forecast is not None


def test_a_run_too_short_for_one_evaluation_is_said_to_be_so() -> None:
    setup = SimulatedSetup(max_steps=6, row_seconds=0.25)
    session = PreflightSession(setup, PreflightOptions(Goal.parse("eval_accuracy"), 1.0))
    session.run()
    assert any("a run of 6 steps is too short" in note for note in preflight_report(session).notes)


def test_more_seeds_at_one_depth_do_not_make_a_curve() -> None:
    report = probed(0.3, depths=[8])
    assert len(report.probes) == 3
    assert report.risk_curve[0][2] == 3
    assert report.decomposition is None
    assert report.optimal_depth is None


def test_one_seed_at_several_depths_names_no_regime() -> None:
    report = probed(0.5, seeds=1, depths=[10, 20, 40, 80])
    assert report.decomposition.regime == "unidentified"
    assert report.decomposition.alpha is None
    assert any("single probe" in note for note in report.notes)


def test_probing_ends_at_the_depth_that_pays_and_says_how_sure_that_is() -> None:
    report = probed(1.0)
    deepest = max(look.step for look in report.looks)
    assert deepest < 0.5 * 200  # the budget would have carried one probe through the whole run
    assert deepest <= report.optimal_depth + 1 or any("Probing ended" in n for n in report.notes)
    note = next(note for note in report.notes if note.startswith("The optimal depth c*"))
    low, high = map(float, re.search(r"between (\S+) and (\S+) steps", note).groups())
    assert low <= report.optimal_depth <= high
    assert high > 2 * report.optimal_depth


def test_a_regime_that_the_prior_alone_names_is_not_named() -> None:
    """Every simulated run ends at 0.9: no part of the risk is intrinsic."""
    report = probed(0.3)
    assert report.decomposition.regime == "unidentified"
    assert any("from the size of the risk alone" in note for note in report.notes)
