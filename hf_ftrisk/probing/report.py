"""From a finished session to its report: verdict, diagnoses, cost, notes. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.history.remembered import Remembered
from hf_ftrisk.policy import default_rule, judge_preflight
from hf_ftrisk.policy.parts.decision import Decision, decide, stands
from hf_ftrisk.policy.parts.parts import task_kind
from hf_ftrisk.policy.parts.rule import preflight_rules
from hf_ftrisk.policy.rule import why_not_judged
from hf_ftrisk.policy.ruling import Ruling, held_if_unsure, held_without_value
from hf_ftrisk.probing.cost import full_cost
from hf_ftrisk.probing.evidence import LITTLE_LEARNED, learned_share
from hf_ftrisk.probing.session import PreflightSession
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.settings import declared
from hf_ftrisk.report import RiskReport
from hf_ftrisk.signals.dynamics import dynamics_signals
from hf_ftrisk.text import sentence
from hf_ftrisk.verdict import Diagnosis, Verdict

_FEW_DEPTHS = 2
# Setting `pretrained` -> what the report says where it is not true.
_NOT_PRETRAINED = {
    False: "The model's weights are random: its normalization layers are untrained. A rule that "
    "rests on pretrained models does not judge it.",
    None: "Whether the model is pretrained is not known: it has no normalization layer whose "
    "weights would show it. It is judged as a pretrained one.",
}


def preflight_report(session: PreflightSession) -> RiskReport:
    """The report of a session whose probing is over.

    Args:
        session: what was measured.
    """
    records = session.records()
    evidence = session.evidence
    signals = {**session.signals, **_dynamics(session, records)}
    decision = _decide(session, records)
    reported = (float(v) for record in records for v in record.curve(session.goal.metric)[1])
    ruling = held_if_unsure(decision.ruling, session.goal, reported)
    for record in records:
        ruling = held_without_value(ruling, session.goal, record)
    scale = () if session.scale_note is None else (session.scale_note,)
    cost = full_cost(
        session.facts,
        session.ledger,
        session.usage,
        eval_rows=session.eval_rows,
        seconds=session.seconds,
        prices=session.options.prices,
    )
    return RiskReport(
        goal=session.goal,
        verdict=ruling.verdict,
        reasons=(ruling.reason,),
        cost=cost,
        stage="preflight",
        forecast=_forecast(session, decision),
        decomposition=evidence.decomposition,
        diagnoses=_diagnoses(session, records, signals, decision.finding),
        baseline=session.baseline(),
        looks=evidence.looks,
        probes=records,
        risk_curve=evidence.risk_curve,
        optimal_depth=evidence.optimal_depth,
        signals=signals,
        settings=_settings(session),
        notes=tuple(dict.fromkeys((*scale, *session.notes, *evidence.notes, *_scope(session)))),
    )


def _decide(session: PreflightSession, records: tuple[RunRecord, ...]) -> Decision:
    """The verdict: what is certain, then a rule of the user's own, then the parts, then history.

    Where too few parts were measured (no static signals, as in a loop) the stopping rule decides.
    """
    goal, baseline = session.goal, session.baseline()
    certain = _certain(session, records)
    if certain is not None:
        return Decision(certain, None, by_parts=False)
    if session.options.make_rule is not default_rule:
        return Decision(_by_rule(session, records), None, by_parts=False)
    if goal.threshold(baseline) is None:
        return Decision(Ruling(Verdict.UNDECIDED, why_not_judged(goal)), None, by_parts=False)
    rate = session.options.false_stop_rate
    decision = decide(records, goal, baseline, preflight_rules(), rate, Forecaster.default())
    if decision is None:
        return Decision(_by_rule(session, records), None, by_parts=False)
    # Completed runs were not begun at the peak of their schedule.
    if decision.ruling.verdict is not Verdict.UNDECIDED or not session.known_runs or session.first:
        return decision
    ruling = _by_rule(session, records)
    if ruling.verdict is Verdict.UNDECIDED or not stands(ruling, session.signals):
        return decision
    return Decision(ruling, decision.finding, by_parts=False)


def _forecast(session: PreflightSession, decision: Decision) -> Forecast | None:
    """The probes' forecast, with the chance of a good outcome that the verdict rests on.

    The rule tells good from poor better than the forecast alone (docs/evidence/preflight.md).
    """
    pooled, chance = session.evidence.pooled, decision.ruling.prob_good
    if pooled is None or chance is None or not decision.by_parts:
        return pooled
    return pooled.with_chance(session.goal, session.baseline(), chance)


def _certain(session: PreflightSession, records: tuple[RunRecord, ...]) -> Ruling | None:
    """What needs no calibration; None where the parts have to decide."""
    goal = session.goal
    fatal = [fault for fault in session.faults if fault.severity == "fatal"]
    if fatal:
        return Ruling(Verdict.NO_GO, f"{fatal[0].message} {fatal[0].advice}", certain=True)
    if not records:
        return Ruling(Verdict.UNDECIDED, "Nothing was probed: the budget is too small.")
    failures = [
        failure for record in records if (failure := certain_failure(record, goal)) is not None
    ]
    if len(failures) == len(records):
        reason = f"{len(failures)} of {len(records)} probes failed: {failures[0].message}"
        return Ruling(Verdict.NO_GO, f"{reason} {failures[0].advice}", certain=True)
    if session.evaluations is None:
        return Ruling(
            Verdict.UNDECIDED,
            "There is no evaluation set, so the outcome cannot be forecast: pass eval_dataset=... "
            "to the Trainer.",
        )
    return None


def _by_rule(session: PreflightSession, records: tuple[RunRecord, ...]) -> Ruling:
    """The verdict by the stopping rule, as the watched run would be judged."""
    options = session.options
    rule = options.make_rule(
        session.goal,
        Forecaster.default(session.known_runs),
        session.known_runs,
        options.false_stop_rate,
    )
    return judge_preflight(
        session.evidence.forecasts, records, session.goal, rule=rule, baseline=session.baseline()
    )


def _dynamics(session: PreflightSession, records: tuple[RunRecord, ...]) -> dict[str, float]:
    """Signals of the probes' trajectories, each the mean over the probes that have it."""
    by_name: dict[str, list[float]] = {}
    for item, record in zip(session.probed, records, strict=True):
        for name, value in dynamics_signals(record, **item.probe.step_columns()).items():
            by_name.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in by_name.items()}


def _diagnoses(
    session: PreflightSession,
    records: tuple[RunRecord, ...],
    signals: Mapping[str, float],
    finding: Diagnosis | None,
) -> tuple[Diagnosis, ...]:
    """Wiring faults, what decided, then each probe's diagnoses, every name once."""
    first = [] if finding is None else [finding]
    by_name = {fault.name: fault for fault in (*session.faults, *first)}
    for record in records:
        for diagnosis in diagnose(
            record,
            session.goal,
            signals=signals,
        ):
            by_name.setdefault(diagnosis.name, diagnosis)
    return tuple(by_name.values())


def _scope(session: PreflightSession) -> list[str]:
    """How far the numbers can be trusted: rows, depth, and what the budget does not count."""
    notes, facts, ledger = [], session.facts, session.ledger
    notes += [sentence(problem) for problem in session.known.problems]
    history = session.options.history
    if history is not None and not isinstance(history, Remembered) and not session.known_runs:
        notes.append(
            f"The history holds no completed run of this task, {session.task!r}: the forecast "
            "rests on packaged runs of other tasks. If runs of this task are stored there under "
            "another name, give task=...."
        )
    writes = task_kind(session.signals) == "text"  # runs of such models from scratch were recorded
    if "model" in facts.settings and facts.settings.get("pretrained") is not True and not writes:
        notes.append(_NOT_PRETRAINED[facts.settings.get("pretrained")])
    total = facts.eval.rows if facts.eval is not None else None
    rows = session.eval_rows
    if session.evidence.forecasts and rows is not None and total is not None and rows < total:
        note = f"Measured on {rows} of {total} evaluation rows"
        if session.goal.kind in ("rate", "percent"):
            half = 0.5 * session.goal.unit
            note += f": the standard error of a value of {half:g} is {half / math.sqrt(rows):.2g}"
        notes.append(f"{note}.")
    deepest = max((item.probe.step for item in session.probed), default=0)
    behind = learned_share(facts, deepest)
    if deepest and behind is not None and behind < LITTLE_LEARNED:
        notes.append(
            f"The deepest probe took {deepest} of {facts.max_steps} steps: the forecast mostly "
            "reflects what is usual for such runs. Give a larger budget to see more of this one."
        )
    depths = [depth for depth in session.evidence.by_depth if depth > 0]
    risk = session.evidence.decomposition
    if risk is not None:
        low, high = risk.optimal_depth_interval(**session.money())
        few = ", resting on two depths" if len(depths) == _FEW_DEPTHS else ""
        notes.append(
            "The optimal depth c* is the one that pays best on average over all risk curves that "
            f"fit{few}; for 90 % of the single curves it lies between {low:.3g} and {high:.3g} "
            "steps."
        )
        if "regime" in risk.reasons:
            notes.append(f"No regime: {risk.reasons['regime']}.")
    step = ledger.step_seconds
    if step is not None and session.signal_seconds > 0.1 * ledger.allowed * step:
        notes.append(
            f"The static signals took another {session.signal_seconds:.0f} s, as long as "
            f"{session.signal_seconds / step:.0f} steps; signal_seconds=0 leaves them out."
        )
    return notes


def _settings(session: PreflightSession) -> dict[str, Any]:
    options, plan = session.options, session.plan
    return {
        **session.facts.settings,
        **declared(
            budget=options.budget,
            seeds=[item.probe.seed for item in session.probed],
            depths=[int(depth) for depth in session.evidence.by_depth if depth > 0],
            eval_rows=session.eval_rows,
            planned_depths=list(plan.depths) if plan is not None else [],
            snapshot_bytes=session.snapshot_bytes,
            signal_seconds=round(session.signal_seconds, 3),
        ),
    }
