"""What the commands that record runs have in common on their command lines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def part_of(text: str) -> tuple[int, int]:
    """A worker's part of the plan: ``"0/2"`` is (0, 2), the first of two."""
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no worker: write 0/2 for the first of two")
    return int(index), int(count)


def add_record(commands: Any) -> argparse.ArgumentParser:
    """The command ``record``: train and record what is missing, alone or as one of several.

    Args:
        commands: what `add_subparsers` returned.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "record", help="train and record what is missing"
    )
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--worker", type=part_of, default=(0, 1), help="part of the plan: 0/2")
    parser.add_argument("--minutes", type=float, help="start no run after this time")
    return parser


def add_pack(commands: Any) -> argparse.ArgumentParser:
    """The command ``pack``: put shards into the repository.

    Args:
        commands: what `add_subparsers` returned.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "pack", help="put shards into the repository"
    )
    parser.add_argument("--shards", type=Path, required=True)
    return parser
