"""Each evaluation of a probe says how well the model's scores order its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from transformers import EvalPrediction

from hf_ftrisk.probing.trainer.bounded import bounded_evaluation
from hf_ftrisk.probing.workload import OneRank
from hf_ftrisk.signals.ordering import ORDERING
from tests.probing.models import bert_trainer


def test_it_is_the_area_under_the_curve_of_the_trainers_own_predictions(tmp_path: Path):
    trainer = bert_trainer(tmp_path)
    predicted = trainer.predict(trainer.eval_dataset)
    scores = predicted.predictions[:, 1] - predicted.predictions[:, 0]
    metrics = bounded_evaluation(trainer, None, OneRank()).metrics
    assert metrics[ORDERING] == pytest.approx(roc_auc_score(predicted.label_ids, scores))


def test_the_trainer_keeps_its_own_metrics(tmp_path: Path):
    trainer = bert_trainer(tmp_path)
    own = trainer.compute_metrics
    without = trainer.evaluate()
    metrics = bounded_evaluation(trainer, None, OneRank()).metrics
    assert trainer.compute_metrics is own
    assert metrics["eval_accuracy"] == without["eval_accuracy"]


def test_what_the_metrics_themselves_say_of_it_stands(tmp_path: Path):
    trainer = bert_trainer(tmp_path)
    trainer.compute_metrics = lambda prediction: {ORDERING.removeprefix("eval_"): 0.123}
    assert bounded_evaluation(trainer, None, OneRank()).metrics[ORDERING] == 0.123


def test_a_fault_in_the_metrics_leaves_them_as_they_were(tmp_path: Path):
    trainer = bert_trainer(tmp_path)

    def broken(prediction: EvalPrediction) -> dict[str, Any]:
        raise RuntimeError(f"no metrics of {np.shape(prediction.predictions)}")

    trainer.compute_metrics = broken
    with pytest.raises(RuntimeError, match="no metrics of"):
        bounded_evaluation(trainer, None, OneRank())
    assert trainer.compute_metrics is broken


def test_without_metrics_there_are_no_scores(tmp_path: Path):
    trainer = bert_trainer(tmp_path)
    trainer.compute_metrics = None
    assert ORDERING not in bounded_evaluation(trainer, None, OneRank()).metrics
