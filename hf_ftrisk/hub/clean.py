"""The report as it may leave the machine.

Numbers and trajectories leave as they are. Text is stripped of paths, files, addresses, tokens
and names; settings leave only when they are declared as shared. Every field of a report, and of
what it holds, is declared here: one that is not makes cleaning fail, so that nothing leaves unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_ftrisk.privacy import (
    MAX_ITEMS,
    Cleaner,
    clean_label,
    clean_numbers,
    clean_record,
    clean_settings,
    cleaned,
    unchanged,
)
from hf_ftrisk.redaction import clean_text

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

Rules = Mapping[str, Cleaner]


def clean_report(report: RiskReport) -> RiskReport:
    """`report` without anything that should stay here; cleaning twice is cleaning once.

    Raises:
        TypeError: the report, or something it holds, has a field that is not declared here.
    """
    return cleaned(report, _REPORT)


def _maybe(clean: Cleaner) -> Cleaner:
    """The same for a field that may be None."""
    return lambda value: None if value is None else clean(value)


def _each(clean: Cleaner) -> Cleaner:
    """The same for a tuple of them, cut to a sane length."""
    return lambda values: tuple(clean(value) for value in values[:MAX_ITEMS])


def _fields(rules: Rules) -> Cleaner:
    return lambda value: cleaned(value, rules)


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    return {clean_label(name): clean_text(text) for name, text in values.items()}


_GOAL: Rules = {
    "metric": clean_label,
    "target": unchanged,
    "greater_is_better": unchanged,
    "kind": unchanged,
    "kind_inferred": unchanged,
    "tolerance": unchanged,
}
_COST: Rules = {
    "full_steps": unchanged,
    "spent_steps": unchanged,
    "spent_seconds": unchanged,
    "saved_steps": unchanged,
    "seconds_per_step": unchanged,
    "seconds_per_eval": unchanged,
    "full_seconds": unchanged,
    "peak_memory_bytes": unchanged,
    "full_flops": unchanged,
    "full_energy_kwh": unchanged,
    "full_money": unchanged,
    "currency": _maybe(lambda text: clean_text(text, 12)),
}
_FORECAST: Rules = {"samples": unchanged, "step": unchanged, "source": clean_text}
_LOOK: Rules = {
    "step": unchanged,
    "median": unchanged,
    "low": unchanged,
    "high": unchanged,
    "prob_good": unchanged,
    "observed": unchanged,
}
_DIAGNOSIS: Rules = {
    "name": clean_label,
    "message": clean_text,
    "advice": clean_text,
    "severity": unchanged,
    "evidence": clean_numbers,
}
_FINISH: Rules = {
    "step": unchanged,
    "way": unchanged,
    "best": unchanged,
    "best_step": unchanged,
    "expected_gain": unchanged,
    "most_gain": unchanged,
    "tolerance": unchanged,
    "reason": clean_text,
}
_DECOMPOSITION: Rules = {
    "draws": unchanged,
    "weights": unchanged,
    "intrinsic": unchanged,
    "K": unchanged,
    "alpha": unchanged,
    "identified": unchanged,
    "reasons": _texts,
    "log_bayes_decay": unchanged,
    "floor": unchanged,
    "tolerance": unchanged,
    "regime_probabilities": unchanged,
    "notes": _each(clean_text),
}
_REPORT: Rules = {
    "goal": _fields(_GOAL),
    "verdict": unchanged,
    "reasons": _each(clean_text),
    "cost": _fields(_COST),
    "stage": unchanged,
    "forecast": _maybe(_fields(_FORECAST)),
    "decomposition": _maybe(_fields(_DECOMPOSITION)),
    "diagnoses": _each(_fields(_DIAGNOSIS)),
    "baseline": unchanged,
    "looks": lambda looks: tuple(cleaned(look, _LOOK) for look in looks),
    "probes": lambda probes: tuple(clean_record(record) for record in probes),
    "run": _maybe(clean_record),
    "risk_curve": unchanged,
    "optimal_depth": unchanged,
    "outcome": unchanged,
    "stopped_at": unchanged,
    "finish": _maybe(_fields(_FINISH)),
    "signals": clean_numbers,
    "settings": clean_settings,
    "notes": _each(clean_text),
}
