"""A Trainer's own search with Ray, as a program: Ray keeps what it could not send to a cluster.

A Trainer that has shared a process with other tests cannot always be pickled, and what Ray failed
to send it sends again at each later start of a cluster in that process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray
from ray import tune

from hf_ftrisk import FineTuneRiskCallback
from hf_ftrisk.integrations.ray import RiskScheduler
from tests.ray_cluster import start_cluster
from tests.watch.test_survives import GOAL, LostAtTinyRates
from tests.watch.tiny import bert, bert_trainer

STEPS = 10


def main(folder: Path) -> None:
    """Search, and print learning rate -> reports of each trial, and the best one's rate."""
    start_cluster(1)
    trainer = bert_trainer(
        folder,
        kind=LostAtTinyRates,
        model_init=lambda trial: bert(),
        callbacks=[FineTuneRiskCallback(GOAL, check_steps=2)],
        eval_steps=4,
    )
    best_run = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": tune.grid_search([1e-9, 2e-2, 1e-6])},
        backend="ray",
        n_trials=1,
        direction="maximize",
        compute_objective=lambda metrics: metrics["eval_accuracy"],
        metric="objective",
        mode="max",
        scheduler=RiskScheduler(STEPS, measures="eval_accuracy"),
        storage_path=str(folder / "search"),
        max_concurrent_trials=1,
        reuse_actors=True,  # a worker takes long to start: it imports transformers
        verbose=0,
    )
    reports = {
        str(trial.config["learning_rate"]): trial.last_result["training_iteration"]
        for trial in best_run.run_summary.trials
    }
    best = best_run.hyperparameters["learning_rate"]
    (folder / "found.json").write_text(json.dumps({"reports": reports, "best": best}))
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
