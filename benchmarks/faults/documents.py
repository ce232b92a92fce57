"""Trainer states and reports with values changed."""

from __future__ import annotations

import copy
import json
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.faults.cases import Outcome, run_of
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import Cost, Look, RiskReport
from hf_ftrisk.risk import fit_risk_curve
from hf_ftrisk.verdict import Diagnosis, Verdict

_VALUES: list[Any] = [
    *(None, True, 0, -1, 2**70, 0.5, 1e308, float("nan"), float("inf"), "", "x", "NaN"),
    *([], {}, [None], {"x": 1}, [[[]]]),
]


def _places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items: Any = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list):
        items = [(i, data[i]) for i in sorted({0, 1, len(data) - 1} & set(range(len(data))))]
    for name, item in items:
        yield from _places(item, (*path, name))


def _with(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    copied = copy.deepcopy(data)
    inside = copied
    for name in path[:-1]:
        inside = inside[name]
    if path:
        inside[path[-1]] = value
    return copied if path else value


def changed_states(rng: random.Random, cases: int) -> Outcome:
    """A trainer state with one to three values changed: a record, or a clear refusal."""
    outcome = Outcome(cases)
    log = [{"step": s, "epoch": s / 50, "loss": 1 / s, "eval_loss": 2 / s} for s in (10, 20, 30)]
    state = {"log_history": log, "max_steps": 30, "global_step": 30, "epoch": 0.6}
    for _ in range(cases):
        damaged: Any = state
        for _ in range(rng.randrange(1, 4)):
            damaged = _with(damaged, rng.choice(list(_places(damaged))), rng.choice(_VALUES))
        try:
            RunRecord.from_trainer_state(damaged if isinstance(damaged, dict) else {})
            outcome.became["read"] += 1
        except ValueError:
            outcome.became["refused"] += 1
        except Exception as error:  # noqa: BLE001 - what the campaign looks for
            outcome.lost.append(f"{type(error).__name__}: {error}")
    return outcome


def report_of() -> RiskReport:
    """A report with every part filled in."""
    depths = np.array([5.0, 10.0, 20.0, 40.0])
    return RiskReport(
        goal=Goal("eval_accuracy", target=0.85),
        verdict=Verdict.GO,
        reasons=("the forecast meets the goal",),
        cost=Cost(full_steps=100, spent_steps=12, spent_seconds=3.5, full_seconds=60.0),
        forecast=Forecast(np.linspace(0.8, 0.95, 50), step=40, source="test"),
        decomposition=fit_risk_curve(
            depths, 0.0004 + 0.02 / depths, counts=np.full(4, 30), horizon=100, tolerance=0.03
        ),
        diagnoses=(Diagnosis("x", "y", "z", evidence={"steps": 1.0}),),
        baseline=0.2,
        looks=(Look(10, 0.7, 0.4, 0.9, 0.3, 0.55), Look(40, 0.88, 0.8, 0.95, 0.7, 0.87)),
        probes=(run_of(0),),
        run=run_of(1),
        risk_curve=tuple((float(d), 0.1, 30.0) for d in depths),
        optimal_depth=22.0,
        outcome=0.9,
        signals={"rows": 100.0},
        settings={"seeds": [1, 2]},
        notes=("a note",),
    )


def changed_reports(rng: random.Random, cases: int) -> Outcome:
    """A report with one field changed: refused at loading, or nothing fails over it later."""
    outcome = Outcome(cases)
    data = report_of().to_dict()
    places = list(_places(data))
    for _ in range(cases):
        damaged = _with(data, rng.choice(places), rng.choice(_VALUES))
        try:
            report = RiskReport.from_dict(json.loads(json.dumps(damaged)))
        except (ValueError, AttributeError):
            outcome.became["refused at loading"] += 1
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report.to_markdown()
                build_parts(report, figure=False)
            outcome.became["read and used"] += 1
        except Exception as error:  # noqa: BLE001 - what the campaign looks for
            outcome.lost.append(f"{type(error).__name__}: {error}")
    return outcome
