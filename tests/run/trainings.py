"""Options and trainings that the tests of `hf-ftrisk run` share."""

from __future__ import annotations

from pathlib import Path

from hf_ftrisk.goal import Goal
from hf_ftrisk.run.options import RunOptions
from tests.probing.models import bert_trainer

ACCURACY = Goal.parse("eval_accuracy>=0.8")


def options(**changes) -> RunOptions:
    settings = {"goals": (ACCURACY,), "budget": 0.25, "seeds": 1, "action": "warn"}
    return RunOptions(**(settings | changes))


def trainer_of(folder: Path, **settings):
    settings.setdefault("max_steps", 24)
    return bert_trainer(folder, eval_strategy="steps", eval_steps=6, **settings)
