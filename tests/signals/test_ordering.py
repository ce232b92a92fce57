"""How well scores order rows by class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hf_ftrisk.signals.ordering import class_ordering

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=90)
LOGITS = RNG.standard_normal((90, 3)) + 0.7 * np.eye(3)[LABELS]


def test_it_is_the_weighted_one_against_the_rest_area_of_scikit_learn():
    centered = LOGITS - LOGITS.mean(axis=1, keepdims=True)
    areas = [
        roc_auc_score(is_class, centered[:, k]) for k, is_class in enumerate(np.eye(3)[LABELS].T)
    ]
    expected = np.average(areas, weights=np.bincount(LABELS))
    assert class_ordering(LOGITS, LABELS) == pytest.approx(expected)


def test_scores_that_predict_one_class_alone_may_order_rows_all_the_same():
    biased = LOGITS + np.array([100.0, 0.0, 0.0])
    assert (biased.argmax(axis=1) == 0).all()
    assert class_ordering(biased, LABELS) == pytest.approx(class_ordering(LOGITS, LABELS))


def test_equal_scores_are_worth_a_coin_toss():
    assert class_ordering(np.zeros((40, 2)), np.arange(40) % 2) == 0.5


def test_the_first_of_several_outputs_and_rows_with_a_label_count():
    labels = LABELS.copy()
    labels[:10] = -100
    kept = class_ordering(LOGITS[10:], LABELS[10:])
    assert class_ordering((LOGITS, np.zeros(90)), labels) == pytest.approx(kept)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (LOGITS.argmax(axis=1), LABELS),  # predictions, no scores
        (LOGITS[:, :1], LABELS),  # a number
        (np.zeros((90, 5, 3)), np.zeros((90, 5), dtype=int)),  # tokens
        (LOGITS, LABELS.astype(float)),  # regression
        (LOGITS[:10], LABELS[:10]),  # few rows
        (LOGITS, np.zeros(90, dtype=int)),  # one class
        (np.full((90, 3), np.nan), LABELS),
        ((), LABELS),
        (([LOGITS, LOGITS[:5]],), LABELS),  # nested and ragged
        ({"logits": LOGITS}, LABELS),
        (None, None),
    ],
)
def test_what_is_no_classifier_of_rows_is_left_out(scores, labels):
    assert class_ordering(scores, labels) is None
