"""The trainer states that `hf-ftrisk replay --example` shows, from recorded runs.

``python -m benchmarks.write_examples`` writes ``hf_ftrisk/examples/*.json``. Four are chosen for
what happened in them; the failure is measured: of all recorded runs whose forecasts can be judged,
the one whose end lay farthest outside a 90 % interval, in half-widths of the interval, at 30 % or
50 % of the run, among good runs that would have been stopped; among all where there is none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import hf_ftrisk
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy import rule_maker
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import load_pairs
from hf_ftrisk.replay.examples import example_of
from hf_ftrisk.replay.replay import Replay, ReplayLook, default_goal, replay_run

TARGET = Path(hf_ftrisk.__file__).parent / "examples"
LOG_EVERY = 10
# Name -> task, goal, what a person sees.
CHOSEN = {
    "sound": ("trec6/minilm-3/full", "eval_accuracy", "A sound run: questions by topic, MiniLM."),
    "stopped": (
        "tweet_emotion/minilm-2/full",
        "eval_accuracy",
        "Stopped rightly: the labels of training and evaluation are numbered differently.",
    ),
    "overfits": (
        "e2e_nlg/minilm-2/full",
        "eval_loss",
        "Overfits: the evaluation loss is lowest early and rises from then on.",
    ),
    "stuck": (
        "banking77/minilm-3/full",
        "eval_accuracy",
        "Does not learn: the labels were shuffled, so there is nothing to learn.",
    ),
}
FAILURE = "wrong"


def main() -> None:
    """Write every example."""
    runs = [pair.run for pair in load_pairs()]
    chosen: dict[str, tuple[RunRecord, str, str]] = {}
    for name, (task, goal, words) in CHOSEN.items():
        fits = [run for run in runs if run.task == task]
        # Several runs of one task differ in what was done to them: the first that ended so.
        ends_well = name in ("sound", "overfits")
        run = next(run for run in fits if run.met(Goal(goal)) is ends_well)
        chosen[name] = (run, goal, words)
    chosen[FAILURE] = _failure(runs)
    TARGET.mkdir(exist_ok=True)
    for name, (run, goal, words) in chosen.items():
        text = json.dumps(_state(run, goal, words), separators=(",", ":"))
        (TARGET / f"{name}.json").write_text(text.replace("},{", "},\n{") + "\n")
        print(f"{name:10} {len(text):6,} bytes  {run.task}, {run.max_steps} steps: {words}")


def _failure(runs: list[RunRecord]) -> tuple[RunRecord, str, str]:
    make, forecaster = rule_maker("calibrated"), Forecaster.default(None)
    misses: list[tuple[bool, float, Replay, ReplayLook, RunRecord]] = []
    for run in runs:
        goal = default_goal(run)
        if goal.metric not in run.baselines:
            continue
        # As it ships: what the recordings know besides is not in a trainer state.
        shipped = example_of(FAILURE, _state(run, goal.metric, "")).record
        one = replay_run(shipped, make(goal, forecaster, (), 0.05))
        if one.outcome is None or goal.metric != "eval_accuracy":
            continue
        looks = [look for look in one.looks if look.share in (0.3, 0.5)]
        if looks:
            look = max(looks, key=lambda look: _miss(one, look))
            lost = bool(one.good) and one.stopped_at is not None
            misses.append((lost, _miss(one, look), one, look, run))
    stopped, _, worst, look, run = max(misses, key=lambda row: row[:2])
    words = (
        f"Wrong: at step {look.step} the outcome was forecast as {look.low:.3f} to {look.high:.3f} "
        f"(90 %), and it was {worst.outcome:.3f}"
    )
    words += f"; a good run was stopped at step {worst.stopped_at}." if stopped else "."
    return run, worst.goal.metric, words


def _miss(one: Replay, look: ReplayLook) -> float:
    assert one.outcome is not None
    middle, half = (look.low + look.high) / 2, max((look.high - look.low) / 2, 1e-9)
    return abs(one.outcome - middle) / half


def _state(run: RunRecord, goal: str, words: str) -> dict[str, Any]:
    """What a Trainer with ``logging_steps=10`` would have left of the run."""
    entries: list[dict[str, Any]] = []
    for start in range(0, run.train_step.size, LOG_EVERY):
        window = slice(start, start + LOG_EVERY)
        entries.append(
            {
                "step": int(run.train_step[window][-1]),
                "loss": _short(np.nanmean(run.train_loss[window])),
                "grad_norm": _short(run.grad_norm[window][-1]),
                "learning_rate": _short(run.learning_rate[window][-1]),
            }
        )
    for i, step in enumerate(run.eval_step.tolist()):
        row = {name: _short(column[i]) for name, column in run.evals.items()}
        entries.append({"step": int(step), **{n: v for n, v in row.items() if v is not None}})
    entries.sort(key=lambda entry: (entry["step"], "loss" not in entry))
    return {
        "example": {
            "words": words,
            "goal": goal,
            "baselines": {goal: _short(run.baselines[goal])},
            "recorded": f"{run.task}, seed {run.seed}",
        },
        "global_step": run.last_step,
        "max_steps": run.max_steps,
        "log_history": entries,
    }


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


if __name__ == "__main__":
    main()
