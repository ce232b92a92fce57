"""What the processes of a command are asked to do, and the environment that tells them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_ftrisk.run.options import RunOptions

# The variable; `follow/sitecustomize.py`, which imports nothing, repeats its name.
FOLLOWED = "HF_FTRISK_RUN"
_FOLDER = Path(__file__).with_name("follow")


@dataclass(frozen=True)
class Orders:
    """What the processes of a command are asked to do.

    Args:
        options: what to put into their Trainers.
        folder: shared by all of them, for what becomes of each.
        probes: a pre-flight alone is wanted, of the first training (`hf_ftrisk.run.elsewhere`).
    """

    options: RunOptions
    folder: Path
    probes: bool = False

    def to_json(self) -> str:
        """One line, for the environment."""
        data = {"options": self.options.to_dict(), "folder": str(self.folder)}
        return json.dumps({**data, "probes": self.probes})

    @classmethod
    def from_json(cls, text: str) -> Orders:
        """From `to_json`'s form."""
        data: dict[str, Any] = json.loads(text)
        return cls(RunOptions.from_dict(data["options"]), Path(data["folder"]), data["probes"])


def followed_environment(environment: Mapping[str, str], orders: Orders) -> dict[str, str]:
    """An environment in which every Python process is followed."""
    ours = str(_FOLDER)
    parts = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    path = os.pathsep.join([ours, *(part for part in parts if part != ours)])
    return {**environment, "PYTHONPATH": path, FOLLOWED: orders.to_json()}
