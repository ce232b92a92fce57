"""`hf-ftrisk history`: completed runs in, out, and shared. Commands parse and print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_ftrisk.cli.group import left_out_status, print_json, told_errors

if TYPE_CHECKING:
    from hf_ftrisk.history import ImportSummary, RunHistory
    from hf_ftrisk.record import RunRecord

app = typer.Typer(
    help="Completed runs on disk: what forecasts and stops are calibrated on. Without a command: "
    "those that are remembered by default.\n\n"
    "Example: `hf-ftrisk history import runs.db outputs/ --task my-task`",
    rich_markup_mode="markdown",
    invoke_without_command=True,
)

File = Annotated[
    Path, typer.Argument(metavar="HISTORY", help="File of the history, such as runs.db.")
]
Task = Annotated[str | None, typer.Option(help="Only runs of this task.")]
Metric = Annotated[str | None, typer.Option(help="Only runs with this metric.")]
Repo = Annotated[str, typer.Argument(metavar="REPO", help="Dataset on the Hub, owner/name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit; main if not given.")]
Branch = Annotated[str | None, typer.Option(help="Branch; main if not given.")]


@app.callback()
def default(context: typer.Context, json_output: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_runs(None, json_output)
    elif json_output:
        raise typer.BadParameter(f"--json comes after {context.invoked_subcommand!r}")


@app.command(no_args_is_help=True)
def add(
    history: File,
    reports: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPORTS...", help="Reports of watched runs: watch.json, as they were saved."
        ),
    ],
    json_output: Json = False,
) -> None:
    """Add the finished runs that reports hold. The file is created when it is missing.

    Example: `hf-ftrisk history add runs.db reports/watch.json`
    """
    from hf_ftrisk.history import RunHistory

    with told_errors():
        records = [_run_of(path) for path in reports]
        n_added = RunHistory(history).add_all(records, source="report")
    n_known = len(records) - n_added
    if json_output:
        print_json({"added": n_added, "known": n_known, "refused": []})
    else:
        typer.echo(f"{n_added} added, {n_known} known already")


@app.command("list")
def list_runs(
    history: Annotated[
        Path | None,
        typer.Argument(
            metavar="[HISTORY]", help="File of the history; the one kept by default if not given."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """How many runs of which task there are, and where they came from.

    Example: `hf-ftrisk history list runs.db`
    """
    with told_errors():
        file = history or _default(to_stderr=json_output)
        counts = {} if file is None else _existing(file).counts()
    if json_output:
        items = sorted(counts.items(), key=str)
        tasks = [{"task": task, "source": source, "runs": n} for (task, source), n in items]
        print_json({"tasks": tasks, "runs": sum(counts.values())})
        return
    if file is None:
        return
    rows = sorted(
        (_line(task or "(no task)"), _line(source or "(recorded here)"), number)
        for (task, source), number in counts.items()
    )
    width = max((len(task) for task, _, _ in rows), default=0)
    for task, source, number in rows:
        typer.echo(f"{number:>6}  {task:<{width}}  {source}")
    typer.echo(f"{sum(counts.values()):>6}  runs in all")


@app.command("import", no_args_is_help=True)
def import_runs(
    history: File,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A trainer_state.json, a folder of runs, or a .parquet file of runs.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(help="Name under which runs from trainer_state.json files are comparable."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Add runs from Trainer's own files or from Parquet.

    Exit status: 1 when some were refused and the rest is added, 2 when all were or a folder has
    none.

    Example: `hf-ftrisk history import runs.db old-runs/ --task my-task`
    """
    from hf_ftrisk.history import RunHistory
    from hf_ftrisk.history.storage import is_database
    from hf_ftrisk.history.trainer_state import has_states
    from hf_ftrisk.record.state_file import STATE_FILE

    parquet = source.suffix == ".parquet"
    if parquet and task is not None:
        raise typer.BadParameter("a Parquet file names each run's task itself: leave --task out")
    with told_errors():
        if not source.exists():
            raise FileNotFoundError(f"no such file or folder: {source}")
        if source.is_file() and is_database(source):
            raise ValueError(
                f"{source} is a history itself, and the history to add to comes first: "
                "hf-ftrisk history import HISTORY SOURCE. The runs of one go into another by way "
                "of `hf-ftrisk history export`"
            )
        if not has_states(source):
            raise ValueError(
                f"no run in {source}: neither it nor a folder below it has a {STATE_FILE}. Give "
                "the output_dir of a Trainer that saved checkpoints, or a .parquet file of runs"
            )
        runs = RunHistory(history)
        if parquet:
            _tell(runs.import_parquet(source), json_output)
        else:
            _tell(runs.import_trainer_states(source, task=task), json_output)


@app.command(no_args_is_help=True)
def export(
    history: File,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Parquet file to write.")],
    task: Task = None,
    metric: Metric = None,
    json_output: Json = False,
) -> None:
    """Write runs to a Parquet file, with everything that is known of them.

    Example: `hf-ftrisk history export runs.db runs.parquet`
    """
    with told_errors():
        count = _existing(history).export_parquet(target, task=task, metric=metric)
    if json_output:
        print_json({"runs": count, "file": str(target)})
    else:
        typer.echo(f"{count} runs in {target}")


@app.command(no_args_is_help=True)
def push(
    history: File,
    repo: Repo,
    task: Task = None,
    metric: Metric = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, send nothing.")
    ] = False,
    revision: Branch = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Create the dataset with this visibility if it does not exist.",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Add runs to a Hub dataset: only those it lacks, without paths and names.

    Uses the token of `hf auth login` or of HF_TOKEN.

    Example: `hf-ftrisk history push runs.db me/runs --dry-run`
    """
    with told_errors():
        pushed = _existing(history).push_to_hub(
            repo,
            task=task,
            metric=metric,
            create_pr=create_pr,
            dry_run=dry_run,
            revision=revision,
            private=private,
        )
    if json_output:
        print_json({**vars(pushed), "files": dict(pushed.files)})
        return
    for name, size in pushed.files.items():
        typer.echo(f"{size:>10,} bytes  {name}")
    typer.echo(f"{pushed.added} runs to add, {pushed.known} known already")
    if pushed.sent:
        typer.echo(pushed.pr_url or pushed.commit_url)
    else:
        typer.echo("nothing was sent" if dry_run else "nothing to send")


@app.command(no_args_is_help=True)
def pull(history: File, repo: Repo, revision: Revision = None, json_output: Json = False) -> None:
    """Add the runs of a Hub dataset; each one is checked. The file is created when missing.

    Exit status: 1 when some were refused and the rest is added, or the Hub cannot be used; 2 when
    all were refused.

    Example: `hf-ftrisk history pull runs.db me/runs`
    """
    from hf_ftrisk.history import RunHistory

    with told_errors():
        _tell(RunHistory(history).pull(repo, revision=revision), json_output)


def _default(*, to_stderr: bool) -> Path | None:
    """The history kept by default, shown; None where it is off or holds nothing yet, told."""
    from hf_ftrisk.history.remembered import VARIABLE, default_file

    file = default_file()
    if file is None:
        typer.echo(f"no run is remembered by default: {VARIABLE} is off", err=to_stderr)
    elif not file.exists():
        typer.echo(f"no run is remembered yet; completed ones will be in {file}", err=to_stderr)
    else:
        typer.echo(f"{file}:", err=to_stderr)
        return file
    return None


def _existing(path: Path) -> RunHistory:
    from hf_ftrisk.history import RunHistory

    if not path.is_file():
        raise FileNotFoundError(f"no run history at {path}")
    return RunHistory(path)


def _run_of(path: Path) -> RunRecord:
    from hf_ftrisk.report import RiskReport

    run = RiskReport.load(path).run
    if run is None:
        raise ValueError(f"{path} holds no run: a pre-flight's probes are not completed runs")
    if run.status == "running":
        raise ValueError(
            f"the run of {path} is still running, at step {run.last_step} of {run.max_steps}: only "
            "a run that has ended can be added"
        )
    return run


def _tell(summary: ImportSummary, as_json: bool) -> None:
    """What was added; leaves with a status other than 0 where something was refused."""
    if as_json:
        print_json(vars(summary))
    else:
        typer.echo(str(summary))
        for where, why in summary.refused:
            typer.echo(f"refused {_line(where)}: {_line(why)}", err=True)
    if summary.refused:
        raise typer.Exit(left_out_status(summary.added + summary.known))


def _line(text: str) -> str:
    """Text from outside on one line, without control characters: it goes to a terminal."""
    from hf_ftrisk.text import printable

    return printable(text)
