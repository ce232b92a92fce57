"""The callback inside a Trainer's own search with W&B, offline.

Transformers' backend and W&B's runs are the real ones; in place of W&B's agent, which asks a server
for each trial's values, the values come from a list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wandb

from hf_ftrisk import FineTuneRiskCallback
from hf_ftrisk.verdict import Verdict
from tests.watch.test_survives import GOAL, LostAtTinyRates
from tests.watch.tiny import bert, bert_trainer


def test_a_lost_trial_ends_and_the_search_has_its_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    callback = FineTuneRiskCallback(GOAL, check_steps=4)
    trainer = bert_trainer(
        tmp_path,
        kind=LostAtTinyRates,
        model_init=lambda trial: bert(),
        callbacks=[callback],
        eval_steps=20,
    )
    ended: dict[float, tuple[int, Verdict]] = {}

    def agent(sweep_id: str, function: Any, count: int) -> None:
        for rate in (1e-9, 5e-3):
            wandb.init(config={"learning_rate": rate})
            function()
            wandb.finish()
            ended[rate] = trainer.state.global_step, callback.report.verdict

    monkeypatch.setattr(wandb, "agent", agent)
    best = trainer.hyperparameter_search(
        lambda trial: {"method": "grid", "metric": {}, "parameters": {}},
        backend="wandb",
        n_trials=2,
        direction="maximize",
        compute_objective=lambda metrics: metrics["eval_accuracy"],
        metric="eval/accuracy",
        sweep_id="offline",
    )
    assert ended[1e-9] == (12, Verdict.NO_GO)
    assert ended[5e-3] == (40, Verdict.GO)
    assert best.hyperparameters["learning_rate"] == 5e-3
