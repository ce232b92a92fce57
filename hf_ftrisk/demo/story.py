"""The demo from the first probe to the last table, through the public names alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hf_ftrisk.demo.history import demo_history
from hf_ftrisk.demo.setting import DemoSetting
from hf_ftrisk.demo.tasks import Task, TaskName, task_of
from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.report import Look, RiskReport
from hf_ftrisk.report import wording as report_text
from hf_ftrisk.report.plots import plot_report
from hf_ftrisk.report.terminal import show_report
from hf_ftrisk.text import percent

if TYPE_CHECKING:
    from transformers import Trainer

    from hf_ftrisk.watch.callback import FineTuneRiskCallback

SEEDS = 3


@dataclass(frozen=True)
class SettingResult:
    """What was predicted of one setting, and its outcome.

    Args:
        setting: the setting.
        before: report of the pre-flight.
        watched: report of the watched run, with the true final value in it.
    """

    setting: DemoSetting
    before: RiskReport
    watched: RiskReport

    @property
    def judged_at(self) -> Look | None:
        """The forecast at the stop, or the first one past a third of a run that went on."""
        looks = self.watched.looks
        if self.watched.stopped_at is not None:
            return looks[-1] if looks else None
        third = self.watched.cost.full_steps / 3
        return next((look for look in looks if look.step >= third), None)


def run_demo(name: TaskName, folder: Path, console: Console | None = None) -> list[SettingResult]:
    """Run the demo and leave its files in `folder`.

    The sound setting's report.json, README.md (model card) and report.png lie in the folder
    itself, the doomed settings' in a sub-folder each.

    Args:
        name: ``"text"`` or ``"lm"``.
        folder: where the files go; it is made.
        console: where to print; None: the terminal.

    Raises:
        MissingDemoPackageError: a package with a model or data is not installed.
    """
    console = console or Console()
    task = task_of(name)
    console.print(Text(f"\n{task.title}", style="bold"))
    folder.mkdir(parents=True, exist_ok=True)
    history = demo_history(folder)
    console.print(
        f"Goal: {task.goal}. A pre-flight may spend {percent(task.budget)} of a run; at most "
        f"{percent(task.false_stop_rate)} of good runs may be stopped."
    )
    results = []
    for number, setting in enumerate(task.settings):
        console.rule(f"{number + 1} of {len(task.settings)}: {setting.title}", align="left")
        place = folder if number == 0 else folder / setting.name
        results.append(_tell(task, setting, place, history, console))
    console.rule("Forecast and outcome", align="left")
    console.print("90 % intervals of the outcome, and what it was; steps spent and saved:")
    console.print(result_table(results, Goal.parse(task.goal)))
    console.print(f"Reports, model cards and figures: {folder}")
    return results


def _tell(
    task: Task, setting: DemoSetting, folder: Path, history: RunHistory, console: Console
) -> SettingResult:
    from hf_ftrisk.probing.runner import preflight
    from hf_ftrisk.watch.callback import FineTuneRiskCallback as Watcher

    checkpoints = folder / "checkpoints"
    trainer = task.trainer(setting, checkpoints)
    before = preflight(
        trainer,
        goal=task.goal,
        budget=task.budget,
        seeds=SEEDS,
        depths=task.depths,
        eval_samples=task.eval_samples,
        history=history,
        task=task.name,
        false_stop_rate=task.false_stop_rate,
    )
    show_report(before, f"Before the run: {setting.title}", console)
    callback = Watcher(
        goal=task.goal,
        action="stop",
        history=history,
        task=task.name,
        false_stop_rate=task.false_stop_rate,
    )
    trainer.add_callback(callback)
    trainer.train()
    watched = callback.report
    if watched is None:
        raise RuntimeError("the callback left no report: its log says why, at debug level")
    if watched.stopped_at is not None:
        console.print(f"Stopped at step {watched.stopped_at}. To see whether that was right, the")
        console.print("run now goes on from its checkpoint, unwatched:")
        watched = replace(watched, outcome=_outcome_of(trainer, callback, watched.goal))
    watched = watched.after(before)
    _leave_files(task, trainer, watched, folder)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return SettingResult(setting, before, watched)


def _outcome_of(trainer: Trainer, callback: FineTuneRiskCallback, goal: Goal) -> float:
    """The goal's metric at the end of a stopped run, by letting it go on unwatched."""
    trainer.remove_callback(callback)
    trainer.train(resume_from_checkpoint=True)
    values = [entry[goal.metric] for entry in trainer.state.log_history if goal.metric in entry]
    return float(values[-1])


def _leave_files(task: Task, trainer: Trainer, report: RiskReport, folder: Path) -> None:
    """report.json, model card and figure, as a repository of the model would hold them."""
    from hf_ftrisk.hub import attach_card

    trainer.args.output_dir = str(folder)
    attach_card(trainer, report)
    trainer.create_model_card(
        license="apache-2.0", finetuned_from=task.base_model, dataset=task.datasets
    )
    report.save(folder / "report.json")
    plot_report(report, folder / "report.png")


def result_table(results: list[SettingResult], goal: Goal) -> Table:
    """What was predicted of each setting, its outcome, steps spent and saved; 80 columns."""
    table = Table(box=None, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for column in ("setting", "before the run", "in the run", "outcome", "spent", "saved"):
        table.add_column(column, justify="left" if column == "setting" else "right", no_wrap=True)
    for result in results:
        cost = result.watched.cost
        saved = cost.saved_steps or 0
        look = result.judged_at
        table.add_row(
            result.setting.name,
            _predicted(result.before, goal),
            "none" if look is None else _seen(look, goal),
            report_text.value(result.watched.outcome, goal),
            f"{result.before.cost.spent_steps + cost.spent_steps:.0f}",
            f"{saved}/{cost.full_steps}",
        )
    return table


def _predicted(report: RiskReport, goal: Goal) -> str:
    words = str(report.verdict).replace("_", " ").lower()
    if report.forecast is None:
        return words
    return f"{words}, {_between(report.forecast.interval(0.9), goal)}"


def _seen(look: Look, goal: Goal) -> str:
    return f"at {look.step}, {_between((look.low, look.high), goal)}"


def _between(ends: tuple[float, float], goal: Goal) -> str:
    low, high = (report_text.value(end, goal) for end in ends)
    return f"{low}-{high}"
