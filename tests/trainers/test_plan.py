"""What is known of a run before its first step: the same to pre-flight and watcher."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hf_ftrisk import FineTuneRiskCallback
from hf_ftrisk.goal import trivial_baseline
from hf_ftrisk.probing.trainer.workload import TrainerWorkload
from tests.watch.tiny import bert_trainer


def test_preflight_and_watcher_describe_a_trainer_alike(tmp_path: Path) -> None:
    callback = FineTuneRiskCallback("eval_accuracy>=0.9")
    trainer = bert_trainer(tmp_path, max_steps=6)
    workload = TrainerWorkload(trainer, "eval_accuracy")
    facts = workload.facts()
    workload.close()
    trainer.add_callback(callback)
    trainer.train()
    run = callback.report.run
    for name in ("max_steps", "steps_per_epoch", "load_best", "selection", "task"):
        assert getattr(facts, name) == getattr(run, name), name
    assert facts.settings == run.settings
    np.testing.assert_allclose(facts.schedule, run.schedule)
    assert trivial_baseline(callback.goal, labels=facts.labels) == run.baseline(callback.goal)
