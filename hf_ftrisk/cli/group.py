"""What all commands share: errors that a person can correct become a message and an exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import typer
from typer.core import TyperGroup

# What needs a file alone, what trains, what comes of it, what tells of the installation.
_ORDER = ("replay", "follow", "run", "rank", "report", "publish", "card", "history", "doctor")


def print_json(data: object, file: IO[str] | None = None) -> None:
    """Print strict JSON: NaN and infinities are refused.

    Args:
        data: what to print.
        file: where; None: on standard output.
    """
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False), file=file)


def left_out_status(n_taken: int) -> int:
    """Exit status where some of several runs could not be read: 1, or 2 where none was taken."""
    return 1 if n_taken else 2


@contextmanager
def told_errors(missing: str = "") -> Iterator[None]:
    """What a person can correct as a message: wrong usage 2, a Hub that fails 1.

    Args:
        missing: what to type where a file is not there.
    """
    from hf_ftrisk.errors import MissingExtraError

    try:
        yield
    except BrokenPipeError:  # who reads the output has gone: there is nobody to tell
        raise
    except FileNotFoundError as error:
        name = error.filename
        text = str(error) if name is None else f"no such file or folder: {name}"
        raise typer.BadParameter(f"{text}. {missing}" if missing else text) from error
    except OSError as error:
        named = error.filename is not None and error.strerror is not None
        text = f"{error.strerror}: {error.filename}" if named else str(error)
        raise typer.BadParameter(text) from error
    except (ValueError, MissingExtraError) as error:
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

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order in which people need them."""
        known = super().list_commands(ctx)
        return sorted(known, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

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
