"""The command `hf-ftrisk`. Commands parse and print; the work is done in the rooms they import."""

from __future__ import annotations

from typing import Annotated

import typer

import hf_ftrisk

app = typer.Typer(
    name="hf-ftrisk",
    help="How a Hugging Face fine-tune will end, told before and early in the run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-ftrisk {hf_ftrisk.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """How a Hugging Face fine-tune will end, told before and early in the run."""


def main() -> None:
    """Entry point of the console script and of `python -m hf_ftrisk`."""
    app()
