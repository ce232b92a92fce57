"""`hf-ftrisk demo`: the main job on a real model and real data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hf_ftrisk.cli.group import print_json

if TYPE_CHECKING:
    from hf_ftrisk.demo.story import SettingResult

app = typer.Typer()


@app.command()
def demo(
    task: Annotated[
        Literal["text", "lm"],
        typer.Option(
            help="text: MiniLM on BBC News, a few minutes; lm: SmolLM2 with LoRA on "
            "question-answer pairs, about ten."
        ),
    ] = "text",
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for reports, model cards and figures.")
    ] = Path("ftrisk-demo"),
    json_output: Annotated[
        bool,
        typer.Option(
            "--json", help="Print verdicts and outcomes as JSON; the rest goes to standard error."
        ),
    ] = False,
) -> None:
    """Fine-tune a real model: one sound setting and two with a fault, each forecast early.

    Example: `hf-ftrisk demo --task text --out ftrisk-demo`
    """
    from rich.console import Console

    from hf_ftrisk.errors import MissingDemoPackageError
    from hf_ftrisk.extras import require

    require("train")
    from hf_ftrisk.demo.story import run_demo

    try:
        results = run_demo(task, folder, Console(stderr=json_output))
    except MissingDemoPackageError as error:
        raise typer.BadParameter(str(error), param_hint="--task") from error
    if json_output:
        print_json(demo_output(task, folder, results))


def demo_output(task: str, folder: Path, results: Sequence[SettingResult]) -> dict[str, Any]:
    """What was predicted of each setting, and its outcome, JSON-ready."""
    return {
        "task": task,
        "goal": str(results[0].before.goal),
        "folder": str(folder),
        "settings": [_setting(result) for result in results],
    }


def _setting(result: SettingResult) -> dict[str, Any]:
    from hf_ftrisk.report.findings import Look

    before, watched, look = result.before, result.watched, result.judged_at
    goal, outcome, baseline = watched.goal, watched.outcome, watched.baseline
    return {
        "name": result.setting.name,
        "title": result.setting.title,
        "verdict": str(before.verdict),
        "forecast_before": None
        if before.forecast is None
        else vars(Look.of(0, before.forecast, before.goal, baseline=before.baseline)),
        "forecast_in_run": None if look is None else vars(look),
        "stopped_at": watched.stopped_at,
        "outcome": outcome,
        "good": None if outcome is None else goal.meets(outcome, baseline),
        "spent_steps": before.cost.spent_steps + watched.cost.spent_steps,
        "saved_steps": watched.cost.saved_steps or 0,
        "full_steps": watched.cost.full_steps,
    }
