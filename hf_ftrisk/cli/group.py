"""What all commands share: errors that a person can correct become a message and an exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup


def print_json(data: object) -> None:
    """Print strict JSON: NaN and infinities are refused."""
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))


@contextmanager
def told_errors() -> Iterator[None]:
    """What a person can correct as a message: wrong usage 2, a Hub that fails 1."""
    from hf_ftrisk.errors import MissingExtraError

    try:
        yield
    except BrokenPipeError:  # who reads the output has gone: there is nobody to tell
        raise
    except (ValueError, OSError, MissingExtraError) as error:
        raise typer.BadParameter(str(error)) from error
    except RuntimeError as error:
        # The Hub's client takes its time to load: only where something was asked of the Hub.
        from hf_ftrisk.errors import HubError

        if not isinstance(error, HubError):
            raise
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


class Commands(TyperGroup):
    """Commands whose missing extras are told by name, with what to type."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        from hf_ftrisk.errors import MissingExtraError
        from hf_ftrisk.extras import named_extras

        try:
            with named_extras():
                return super().invoke(ctx)
        except MissingExtraError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from error
