"""Behind `hf-ftrisk rank`: options in, a table out."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_ftrisk.cli.group import print_json, told_errors
from hf_ftrisk.text import visible

if TYPE_CHECKING:
    from hf_ftrisk.choosing import Ranking
    from hf_ftrisk.choosing.study import Study

app = typer.Typer()


@app.command(
    context_settings={"allow_extra_args": True, "allow_interspersed_args": False},
    no_args_is_help=True,
)
def rank(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET [ARGS]...",
            help="Training script, or with -m a module; its arguments follow.",
        ),
    ],
    vary: Annotated[
        list[str],
        typer.Option(
            help="Option of the script and its values, such as 'learning_rate=1e-5,3e-5'; may be "
            "repeated: all combinations are candidates."
        ),
    ],
    module: Annotated[
        bool, typer.Option("-m", "--module", help="TARGET is a module, as with `python -m`.")
    ] = False,
    goal: Annotated[str, typer.Option(help="What candidates are judged by.")] = "eval_loss",
    budget: Annotated[
        float, typer.Option(help="Share of the cost of all full runs that may be spent.")
    ] = 0.2,
    jobs: Annotated[int, typer.Option(help="Candidates trained side by side.")] = 1,
    seconds: Annotated[
        bool, typer.Option("--seconds", help="Count cost in measured time, not in steps.")
    ] = False,
    folder: Annotated[
        Path, typer.Option(help="Where checkpoints and the ranking are kept.")
    ] = Path("ftrisk-rank"),
    go: Annotated[bool, typer.Option("--go", help="Run the winner on to its end.")] = False,
    emit: Annotated[
        bool, typer.Option("--emit", help="Print the commands of the next round, run nothing.")
    ] = False,
    collect: Annotated[
        bool, typer.Option("--collect", help="Read back what emitted commands reported.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the ranking as JSON, and nothing else.")
    ] = False,
) -> None:
    """Find the values of a script's options that end best, for a share of all full runs' cost.

    The script stays as it is: one process for each candidate, trained a little and paused at a
    checkpoint. Prints a table and the winner's command.

    Example: `hf-ftrisk rank --vary learning_rate=1e-5,3e-5 --goal eval_accuracy train.py`
    """
    from hf_ftrisk.choosing.commands import ProcessEngine, emitted, varied
    from hf_ftrisk.choosing.engine import run_study
    from hf_ftrisk.choosing.options import RankOptions
    from hf_ftrisk.choosing.study import Study
    from hf_ftrisk.extras import require
    from hf_ftrisk.goal import Goal

    require("train")
    if json_output and (go or emit):
        raise typer.BadParameter("--json prints a ranking: not with --go or --emit")
    if sum((go, emit, collect)) > 1:
        raise typer.BadParameter("--go, --emit and --collect exclude each other")
    try:
        programs = varied(vary, [*(["-m"] if module else []), target, *context.args])
        options = RankOptions(
            goal=Goal.parse(goal),
            budget=budget,
            unit="time" if seconds else "steps",
            at_once=len(programs) if emit or collect else jobs,
        )
        study = Study.open(tuple(programs), options, folder.absolute())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with told_errors():
        if emit:
            _print_round(emitted(study, programs))
            return
        if collect:
            _collect(study, as_json=json_output)
            return
        ranking = run_study(study, ProcessEngine(programs))
    _print_ranking(ranking, as_json=json_output)
    if ranking.best is None:
        raise typer.Exit(1)
    if not json_output:
        _tell_winner(programs, ranking.best.name, ranking.best.checkpoint, go)


def _collect(study: Study, *, as_json: bool) -> None:
    from hf_ftrisk.choosing.commands import collect

    missing = collect(study)
    _print_ranking(study.ranking(), as_json=as_json)
    if as_json:
        return
    if missing:
        what = "report is" if missing == 1 else "reports are"
        typer.echo(f"\n{missing} {what} still missing: run their commands, then --collect again")
    else:
        more = "run --emit again for the next round"
        typer.echo(f"\n{more if study.next_orders() else 'the ranking is complete'}")


def _print_ranking(ranking: Ranking, *, as_json: bool) -> None:
    if as_json:
        print_json(ranking.to_dict())
    else:
        typer.echo(visible(str(ranking)))


def _print_round(commands: Sequence[str]) -> None:
    for command in commands:
        typer.echo(command)
    if not commands:
        typer.echo("the ranking is complete: --collect prints it", err=True)


def _tell_winner(
    programs: Mapping[str, Sequence[str]], name: str, checkpoint: str | None, go: bool
) -> None:
    from hf_ftrisk.choosing.commands import command_of, continuing

    program = programs[name]
    typer.echo(f"\n{command_of(program)}")
    if checkpoint is None:
        return
    typer.echo(f"its training continues from {checkpoint}")
    if go:
        raise typer.Exit(subprocess.run(continuing(program, checkpoint), check=False).returncode)
