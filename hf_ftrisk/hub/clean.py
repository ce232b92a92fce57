"""The report as it may leave the machine.

Numbers and trajectories leave as they are. Text is stripped of paths, files, addresses, tokens
and names; settings and signals leave only under the names of an allow-list or as plain numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hf_ftrisk.policy.verdict import Diagnosis
from hf_ftrisk.remote.privacy import (
    MAX_ITEMS,
    MAX_NAME,
    clean_numbers,
    clean_record,
    clean_settings,
    clean_text,
)

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport


def clean_report(report: RiskReport) -> RiskReport:
    """`report` without anything that should stay here; cleaning twice is cleaning once."""
    forecast = report.forecast
    return replace(
        report,
        goal=replace(report.goal, metric=clean_text(report.goal.metric, MAX_NAME)),
        reasons=tuple(clean_text(reason) for reason in report.reasons[:MAX_ITEMS]),
        cost=replace(
            report.cost,
            currency=report.cost.currency and clean_text(report.cost.currency, 12),
        ),
        forecast=forecast and replace(forecast, source=clean_text(forecast.source)),
        diagnoses=tuple(_clean_diagnosis(item) for item in report.diagnoses[:MAX_ITEMS]),
        probes=tuple(clean_record(record) for record in report.probes),
        run=report.run and clean_record(report.run),
        signals=clean_numbers(report.signals),
        settings=clean_settings(report.settings),
        notes=tuple(clean_text(note) for note in report.notes[:MAX_ITEMS]),
    )


def _clean_diagnosis(diagnosis: Diagnosis) -> Diagnosis:
    return replace(
        diagnosis,
        name=clean_text(diagnosis.name, MAX_NAME),
        message=clean_text(diagnosis.message),
        advice=clean_text(diagnosis.advice),
        evidence=clean_numbers(diagnosis.evidence),
    )
