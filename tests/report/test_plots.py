"""Figures: written, the same bytes for the same report, and drawable with parts missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.plots import plot_report


def test_figure_is_a_png_and_reproducible(full_report: RiskReport, tmp_path: Path) -> None:
    first = plot_report(full_report, tmp_path / "a.png").read_bytes()
    second = plot_report(full_report, tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == second


@pytest.mark.parametrize(
    "missing",
    [
        {"decomposition": None, "risk_curve": (), "optimal_depth": None},
        {"forecast": None, "looks": ()},
        {"run": None, "outcome": None},
        {"probes": (), "baseline": None},
    ],
)
def test_figure_draws_what_there_is(
    full_report: RiskReport, missing: dict[str, object], tmp_path: Path
) -> None:
    whole = plot_report(full_report, tmp_path / "whole.png").read_bytes()
    part = plot_report(replace(full_report, **missing), tmp_path / "part.png").read_bytes()
    assert part.startswith(b"\x89PNG")
    assert part != whole
