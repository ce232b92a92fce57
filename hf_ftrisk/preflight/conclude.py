"""From a finished session to its report: verdict, diagnoses, cost, notes. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.policy import Diagnosis, Ruling, Verdict, default_rule, diagnose, judge_preflight
from hf_ftrisk.preflight.cost import full_cost
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport

if TYPE_CHECKING:
    from hf_ftrisk.preflight.session import Session


def conclude(session: Session) -> RiskReport:
    """The report of a session whose probing is over.

    Args:
        session: what was measured.
    """
    records = session.records()
    evidence = session.evidence
    ruling = _rule(session, records)
    cost = full_cost(
        session.facts,
        session.account,
        session.meter,
        eval_rows=session.eval_rows,
        seconds=session.seconds,
        prices=session.options.prices,
    )
    return RiskReport(
        goal=session.options.goal,
        verdict=ruling.verdict,
        reasons=(ruling.reason,),
        cost=cost,
        stage="preflight",
        forecast=evidence.pooled,
        decomposition=evidence.decomposition,
        diagnoses=_diagnoses(session, records),
        baseline=session.baseline(),
        looks=evidence.looks,
        probes=records,
        risk_curve=evidence.risk_curve,
        optimal_depth=evidence.optimal_depth,
        signals=session.signals,
        settings=_settings(session),
        notes=tuple(dict.fromkeys((*session.notes, *evidence.notes))),
    )


def _rule(session: Session, records: tuple[RunRecord, ...]) -> Ruling:
    fatal = [fault for fault in session.faults if fault.severity == "fatal"]
    if fatal:
        return Ruling(Verdict.NO_GO, f"{fatal[0].message} {fatal[0].advice}", certain=True)
    if not records:
        return Ruling(Verdict.UNDECIDED, "Nothing was probed: the budget is too small.")
    options = session.options
    rule = default_rule(
        options.goal,
        Forecaster.default(options.history),
        options.history,
        options.false_stop_rate,
    )
    return judge_preflight(
        session.evidence.forecasts, records, options.goal, rule=rule, baseline=session.baseline()
    )


def _diagnoses(session: Session, records: tuple[RunRecord, ...]) -> tuple[Diagnosis, ...]:
    """Wiring faults, then each probe's diagnoses, every name once."""
    found = {fault.name: fault for fault in session.faults}
    for record in records:
        for diagnosis in diagnose(
            record,
            session.options.goal,
            forecast=session.evidence.pooled,
            signals=session.signals,
        ):
            found.setdefault(diagnosis.name, diagnosis)
    return tuple(found.values())


def _settings(session: Session) -> dict[str, Any]:
    options, plan = session.options, session.plan
    return {
        **session.facts.settings,
        "budget": options.budget,
        "seeds": [item.probe.seed for item in session.probed],
        "depths": [int(depth) for depth in session.evidence.by_depth if depth > 0],
        "eval_rows": session.eval_rows,
        "planned_depths": list(plan.depths) if plan is not None else [],
        "snapshot_bytes": session.snapshot_bytes,
        "signal_seconds": round(session.signal_seconds, 3),
    }
