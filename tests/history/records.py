"""Runs for the tests of this package."""

import math

import numpy as np

from hf_ftrisk.record import ModelSelection, RunRecord


def make_record(seed=0, **fields):
    fields.setdefault("task", "sst2")
    fields.setdefault("evals", {"eval_accuracy": [0.6, math.nan, 0.8]})
    return RunRecord(
        max_steps=30,
        train_step=[10, 20, 30],
        train_loss=[0.7, math.inf, 0.4],
        eval_step=[10, 20, 30],
        seed=seed,
        **fields,
    )


def full_record(seed=0):
    """A run with no field left at its default."""
    return make_record(
        seed,
        status="stopped",
        grad_norm=[1.0, math.nan, 0.5],
        learning_rate=[1e-3, 5e-4, 0.0],
        nan_steps={"loss": [12, 14], "eval_f1": [20]},
        schedule=np.linspace(1e-3, 0, 30),
        steps_per_epoch=10,
        load_best=True,
        selection=ModelSelection("eval_quality_index", greater_is_better=True),
        final={"eval_accuracy": 0.81},
        settings={"model": "tiny", "seeds": [1, 2]},
        static={"logme": 0.3},
        baselines={"eval_accuracy": 0.5},
    )
