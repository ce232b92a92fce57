"""Tasks with many seeds: every recorded setting that was run at least `MIN_SEEDS` times.

Recordings made later join by themselves: whatever lies in the reference library and in
`benchmarks/recordings` is grouped by its setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.longruns.seeds import TASKS
from benchmarks.recovery.seeds import logged_schedule
from benchmarks.run_tables import Run, bert_seeds, mlperf, recordings, reference, seed_recordings
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

MIN_SEEDS = 8
MANY_SEEDS = 40
# Of a task with hundreds of runs as many, evenly spread.
MAX_SEEDS = 200
# A loss without a tolerance of its own: this share of its median end.
LOSS_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class Task:
    """Runs of one setting that differ in their seed alone.

    Args:
        name: of the task, for tables.
        table: table of `run_tables` that the runs are of.
        runs: completed runs, planned alike.
        rates: (T,) learning rate of every step.
        scheduler: name of the schedule's shape.
        warmup: share of the steps with rising rate.
        expected: regime that a planned task (`longruns.seeds`) was chosen for; None for others.
    """

    name: str
    table: str
    runs: tuple[Run, ...]
    rates: np.ndarray
    scheduler: str
    warmup: float
    expected: str | None = None

    @property
    def goal(self) -> Goal:
        return self.runs[0].goal

    @property
    def horizon(self) -> int:
        """Planned steps of a run."""
        return self.runs[0].record.max_steps

    @property
    def ends(self) -> np.ndarray:
        """(n_runs,) final values R."""
        return np.array([run.outcome for run in self.runs])

    @property
    def depths(self) -> np.ndarray:
        """(n_depths,) steps at which every run was evaluated and that lie before its outcome.

        Where the outcome is the last evaluation itself, that one is no depth: nothing is open.
        """
        steps = [run.record.finite(self.goal.metric)[0] for run in self.runs]
        common = steps[0]
        for other in steps[1:]:
            common = np.intersect1d(common, other)
        measured_apart = self.goal.metric in self.runs[0].record.final
        last = self.horizon if measured_apart else min(float(s[-1]) for s in steps) - 0.5
        return common[(common > 0) & (common <= last)]

    @property
    def tolerance(self) -> float:
        """Units of R that matter: the goal's, or `LOSS_TOLERANCE` of the median end."""
        own = self.goal.tolerance
        return own if own is not None else LOSS_TOLERANCE * float(np.median(np.abs(self.ends)))

    @property
    def scale(self) -> float:
        """What a root of a risk is multiplied by for tables: points, or thousandths of a loss."""
        return 100.0 if self.goal.kind != "loss" else 1000.0


def all_tasks() -> list[Task]:
    """Every task with enough seeds, those with most seeds first."""
    tasks = [*_bert(), *_mlperf(), *_own("reference", reference())]
    tasks += _own("recordings", [*recordings(), *seed_recordings()])
    tasks = [task for task in tasks if len(task.runs) >= MIN_SEEDS and task.depths.size >= 3]
    # What never varies has no risk to split.
    tasks = told_apart([task for task in tasks if np.ptp(task.ends) > 1e-9])
    return sorted(tasks, key=lambda task: (task.table not in ("bert_seeds", "mlperf"), task.name))


def _bert() -> Iterator[Task]:
    for name, runs in _grouped(bert_seeds(), lambda run: run.group):
        rates = logged_schedule(runs[0].record)
        short = name.replace("adam-no-bias-correction", "Adam without bias correction")
        yield Task(short, "bert_seeds", tuple(runs), rates, "linear", _warmup(rates))


def _mlperf() -> Iterator[Task]:
    """Runs of one submitter's fixed settings differ in the seed; so do, nearly, all of them."""
    runs = [run for run in mlperf() if np.isfinite(run.outcome)]
    numbers = np.unique(
        np.linspace(0, len(runs) - 1, min(MAX_SEEDS, len(runs))).round().astype(int)
    )
    rates = np.asarray(runs[0].record.schedule)
    name = "Llama-2-70B LoRA, GovReport"
    yield Task(name, "mlperf", tuple(runs[int(i)] for i in numbers), rates, "cosine, cut", 0.0)


def told_apart(tasks: Sequence[Task]) -> list[Task]:
    """The tasks, those of one name with what sets them apart in it."""
    for more in (_steps, _warm, _setting):
        differing: dict[str, set[str]] = {}
        for task in tasks:
            differing.setdefault(task.name, set()).add(more(task))
        tasks = [
            replace(task, name=f"{task.name}, {more(task)}")
            if len(differing[task.name]) > 1
            else task
            for task in tasks
        ]
    return list(tasks)


def _steps(task: Task) -> str:
    return f"{task.horizon} steps"


def _warm(task: Task) -> str:
    return f"warm-up {percent(task.warmup)}"


def _setting(task: Task) -> str:
    return str(task.runs[0].record.settings.get("setting_id"))


def _own(table: str, runs: Iterable[Run]) -> Iterator[Task]:
    planned = {task.setting.setting_id: task for task in TASKS}
    finished = [run for run in runs if np.isfinite(run.outcome) and run.record.schedule is not None]
    for setting, same in _grouped(finished, lambda run: str(run.record.settings.get("setting_id"))):
        record = same[0].record
        rates = np.asarray(record.schedule)
        scheduler = str(record.settings.get("scheduler", "linear"))
        plan = planned.get(setting)
        name, expected = (plan.name, plan.expected) if plan else (_name(record), None)
        yield Task(name, table, tuple(same), rates, scheduler, _warmup(rates), expected)


def _name(record: RunRecord) -> str:
    s = record.settings
    parts = [str(s["dataset"]), str(s["method"]), f"{float(s['learning_rate']):g}"]
    if s.get("train_rows"):
        parts.append(f"{int(s['train_rows'])} rows")
    if s.get("label_noise"):
        parts.append(f"{percent(float(s['label_noise']))} noise")
    if s.get("fault"):
        parts.append(str(s["fault"]))
    if s.get("scheduler", "linear") != "linear":
        parts.append(str(s["scheduler"]))
    if s.get("warmup") == 0 and record.max_steps >= 200:
        parts.append("no warm-up")
    return ", ".join(parts)


def _warmup(rates: np.ndarray) -> float:
    return float(np.argmax(rates)) / rates.size


def _grouped(runs: Iterable[Run], key: Callable[[Run], str]) -> Iterator[tuple[str, list[Run]]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    yield from groups.items()
