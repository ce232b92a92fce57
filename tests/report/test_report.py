"""The report: what it keeps through a file, and how it is worded."""

from __future__ import annotations

import io
import json
import math
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.report import Cost, RiskReport
from hf_ftrisk.report import wording as report_text
from hf_ftrisk.report.terminal import show_report
from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve
from hf_ftrisk.verdict import Diagnosis, Verdict


def test_saved_report_loads_to_the_same_content(full_report: RiskReport, tmp_path: Path) -> None:
    path = full_report.save(tmp_path / "report.json")
    again = RiskReport.load(path)
    first, second = full_report.to_dict(), again.to_dict()
    first.pop("decomposition"), second.pop("decomposition")
    assert first == second
    assert again.decomposition is not None
    assert full_report.decomposition is not None
    assert again.decomposition.total(20.0) == pytest.approx(
        full_report.decomposition.total(20.0), rel=0.05
    )


def test_a_forecast_keeps_every_probability_through_a_file(full_report: RiskReport) -> None:
    samples = np.random.default_rng(0).beta(20, 3, 400).round(3)  # with ties, as of 1,000 rows
    report = replace(full_report, forecast=Forecast(samples, step=40, source="test"))
    again = RiskReport.from_dict(json.loads(json.dumps(report.to_dict())))
    for target in np.linspace(0.7, 1.0, 301).round(3).tolist():
        goal = replace(report.goal, target=target)
        assert again.forecast.prob_meets(goal) == report.forecast.prob_meets(goal)
    assert again.forecast.interval() == report.forecast.interval()
    assert again.forecast.mean == report.forecast.mean


def test_a_report_of_0_1_is_read_whose_median_was_called_mean(full_report: RiskReport) -> None:
    old = json.loads(json.dumps(full_report.to_dict()))
    assert old["looks"]
    for look in old["looks"]:
        look["mean"] = look.pop("median")
    assert RiskReport.from_dict(old).looks == full_report.looks


def test_what_commands_a_terminal_is_not_printed(full_report: RiskReport) -> None:
    """A report may have been downloaded: its text is text."""
    bad = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egood\rover\x00"
    report = replace(
        full_report,
        goal=replace(full_report.goal, metric=f"eval_{bad}"),
        reasons=(bad,),
        notes=(bad, "second\nline"),
        diagnoses=(Diagnosis(bad, bad, bad),),
        cost=replace(full_report.cost, full_money=1.0, currency=bad),
        forecast=replace(full_report.forecast, source=bad),
        settings={bad: bad},
    )
    plain = io.StringIO()
    show_report(report, console=Console(file=plain, width=100))
    colored = io.StringIO()
    show_report(report, console=Console(file=colored, width=100, force_terminal=True))
    shown = re.sub("\x1b\\[[0-9;]*m", "", colored.getvalue())  # rich's own colors
    for text in (plain.getvalue(), shown, report.to_markdown()):
        assert not [c for c in text if unicodedata.category(c)[0] == "C" and c != "\n"]
        assert "good over" in text


def test_advice_that_a_diagnosis_gives_is_told_once(full_report: RiskReport) -> None:
    advice = "Read 50 training rows."
    report = replace(
        full_report,
        reasons=("It is predicted to end poor.", advice),
        diagnoses=(Diagnosis("not_learning", "The loss stands still.", advice),),
    )
    shown = io.StringIO()
    show_report(report, console=Console(file=shown, width=100))
    for text in (shown.getvalue(), report.to_markdown()):
        assert text.count(advice) == 1
        assert "It is predicted to end poor." in text


def test_report_is_standard_json_whatever_the_numbers(full_report: RiskReport) -> None:
    odd = replace(full_report, outcome=math.nan, signals={"a": math.inf})
    text = json.dumps(odd.to_dict(), allow_nan=False)
    assert json.loads(text)["outcome"] is None


def test_failed_save_keeps_the_old_file(full_report: RiskReport, tmp_path: Path) -> None:
    path = full_report.save(tmp_path / "report.json")
    before = path.read_bytes()
    with pytest.raises(TypeError):
        replace(full_report, settings={"bad": object()}).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a report"),
        ("[]", "expected an object"),
        ('{"format_version": 99}', "format_version 99, this release reads 1"),
    ],
)
def test_foreign_file_is_refused_by_name(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        RiskReport.load(path)


def test_rows_carry_the_reports_own_numbers(full_report: RiskReport) -> None:
    rows = {row.label: row.text for row in report_text.rows(full_report)}
    low, high = full_report.forecast.interval(0.9)
    assert rows["Forecast"] == (
        f"0.875 after {full_report.forecast.step} of 100 steps "
        f"(90 % interval {low:.3f} to {high:.3f})"
    )
    inside = f"inside the intervals predicted after 10 and {full_report.forecast.step} steps"
    assert rows["Outcome"].startswith("0.900, ")
    assert inside in rows["Outcome"]
    assert rows["Best probing depth"] == "22 steps (22 % of the run)"
    assert rows["Spent"] == "12 of 100 steps (12 %), 4 s"


def irreducible(report: RiskReport, risk: RiskDecomposition) -> str:
    rows = report_text.rows(replace(report, decomposition=risk))
    return next(row.text for row in rows if row.label == "Irreducible spread")


def test_a_spread_above_the_tolerance_is_said_to_be_so_where_it_is_no_single_number(full_report):
    few = fit_risk_curve(
        [10.0, 20.0], [0.3, 0.3], counts=4, horizon=100, tolerance=0.03, same_runs=True
    )
    assert few.regime == "noise-dominant"
    assert not few.identified["intrinsic"]
    low, high = (math.sqrt(end) for end in few.interval("intrinsic", 0.9))
    chance = report_text.share(few.regime_probabilities["noise-dominant"])
    assert irreducible(full_report, few) == (
        "unidentified: too little was measured to say more than its 90 % interval "
        f"{low:.3f} to {high:.3f}; with {chance} probability above the tolerance of 0.03"
    )


def test_a_spread_within_a_known_whole_is_said_not_to_be_separated(full_report):
    known = fit_risk_curve(
        [10.0, 20.0, 40.0],
        [9e-4, 5e-4, 4e-4],
        counts=40,
        horizon=100,
        tolerance=0.03,
        same_runs=True,
    )
    text = irreducible(full_report, known)
    assert text.startswith("unidentified: what was measured does not separate it from")
    assert "tolerance" not in text


def test_runs_without_any_error_give_no_spread_and_say_why(full_report):
    none = fit_risk_curve([10.0, 20.0], [0.0, 0.0], counts=4, horizon=100, tolerance=0.03)
    assert irreducible(full_report, none) == "unidentified: every measured risk is zero"


def test_unknown_parts_are_named_as_unknown(full_report: RiskReport) -> None:
    bare = RiskReport(
        goal=full_report.goal,
        verdict=Verdict.UNDECIDED,
        reasons=(),
        cost=Cost(full_steps=100),
    )
    rows = {row.label: row for row in report_text.rows(bare)}
    assert (rows["Forecast"].text, rows["Uncertainty"].text) == ("none", "not estimated")
    assert [row.label for row in rows.values() if not row.known] == ["Forecast", "Uncertainty"]
    assert not {"Outcome", "Regime", "Best probing depth"} & set(rows)


def test_markdown_cannot_be_broken_by_names(full_report: RiskReport) -> None:
    hostile = replace(full_report, notes=("a | b\n# head <script>`x`",))
    line = hostile.to_markdown().splitlines()[-1]
    assert line == "- a \\| b \\# head \\<script\\>\\`x\\`"


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0 %"), (0.004, "<1 %"), (0.999, ">99 %"), (1.0, "100 %")]
)
def test_shares_never_round_to_certainty(number: float, text: str) -> None:
    assert report_text.share(number) == text


def test_diagnoses_of_the_first_release_are_read_under_the_names_they_have_now(full_report):
    old = full_report.to_dict()
    old["diagnoses"] = [
        Diagnosis(name, "m", "a").to_dict()
        for name in ("labels_all_masked", "nonfinite_first_loss", "diverging")
    ]
    names = [diagnosis.name for diagnosis in RiskReport.from_dict(old).diagnoses]
    assert names == ["all_labels_masked", "non_finite_loss", "diverging"]
