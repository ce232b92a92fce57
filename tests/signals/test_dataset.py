"""Signals of the data, on hand-computed cases."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.signals.dataset import (
    dataset_signals,
    duplicate_signals,
    label_signals,
    language_signals,
    length_signals,
    supervision_signals,
)
from hf_ftrisk.signals.deadline import Deadline
from hf_ftrisk.signals.sample import DataSample, sample_indices, sample_rows


def rows_of(*token_lists: list[int], labels: list[int] | None = None) -> list[dict]:
    rows = [{"input_ids": tokens} for tokens in token_lists]
    return [r | {"label": y} for r, y in zip(rows, labels, strict=True)] if labels else rows


def test_lengths_leave_padding_out():
    row = {"input_ids": [5, 6, 7, 0, 0], "attention_mask": [1, 1, 1, 0, 0]}
    assert dataset_signals([row])["tokens_mean"] == 3.0


def test_truncated_share_counts_rows_as_long_as_the_limit():
    signals = length_signals(np.array([2, 4, 4, 3]), max_length=4)
    assert signals["truncated_share"] == 0.5
    assert signals["tokens_median"] == 3.5
    assert signals["tokens_max"] == 4.0


def test_truncated_share_is_missing_without_a_known_limit():
    assert "truncated_share" not in length_signals(np.array([2, 4]))


def test_label_signals_by_hand():
    signals = label_signals(np.array([0, 0, 0, 1]), np.array([0, 1]))
    assert signals["label_entropy"] == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )
    assert signals["label_balance"] == pytest.approx(signals["label_entropy"] / math.log(2))
    assert signals["majority_share"] == 0.75
    assert signals["eval_majority_share"] == 0.5
    assert signals["label_shift"] == pytest.approx(0.25)


def test_real_targets_have_no_label_signals():
    assert label_signals(np.array([0.5, 1.5])) == {}


def test_masked_row_labels_do_not_count():
    assert label_signals(np.array([-100, 1, 1, 0]))["majority_share"] == pytest.approx(2 / 3)


def test_duplicate_share_counts_repeats_of_earlier_rows():
    sample = DataSample.from_rows(rows_of([1, 2, 3], [1, 2, 3], [1, 2, 3], [7, 8, 9]))
    signals = duplicate_signals(sample)
    assert signals["duplicate_share"] == 0.5
    assert signals["near_duplicate_share"] == 0.0


def test_several_labels_of_a_row_are_no_prompt_and_response():
    rows = [
        {"input_ids": [1, 2, 3], "labels": [1.0, 0.0]},
        {"input_ids": [4], "labels": [0.0, 1.0]},
    ]
    assert DataSample.from_rows(rows).supervised is None


def test_near_duplicates_are_found_by_similarity():
    base = list(range(100))
    changed = [*base[:99], 1000]  # 97 of 99 shingles in common
    sample = DataSample.from_rows(rows_of(base, changed, list(range(500, 600))))
    assert duplicate_signals(sample)["near_duplicate_share"] == pytest.approx(2 / 3)


def test_overlap_counts_evaluation_rows_in_the_training_sample():
    train = DataSample.from_rows(rows_of([1, 2, 3], [4, 5, 6]))
    held_out = DataSample.from_rows(rows_of([1, 2, 3], [7, 8, 9], [10, 11, 12], [4, 5, 6]))
    signals = duplicate_signals(train, held_out)
    assert signals["train_eval_overlap"] == 0.5
    assert signals["train_eval_near_overlap"] == 0.5


def test_conflicting_labels_are_rows_that_stand_under_two_labels():
    sample = DataSample.from_rows(rows_of([1, 2], [1, 2], [3, 4], [3, 4], labels=[0, 1, 1, 1]))
    assert duplicate_signals(sample)["conflicting_label_share"] == 0.5


def test_type_token_ratio_and_repetition_by_hand():
    signals = language_signals([np.array([1, 2, 1, 2, 1, 2])], ["a b!?"])
    assert signals["type_token_ratio"] == pytest.approx(2 / 6)
    assert signals["repetition"] == pytest.approx(1 / 3)  # 1212, 2121, 1212
    assert signals["special_character_share"] == pytest.approx(2 / 5)


def test_type_token_ratio_does_not_fall_with_more_of_the_same_text():
    page = np.arange(1000)
    once = language_signals([page])["type_token_ratio"]
    assert language_signals([page] * 7)["type_token_ratio"] == once == 1.0


def test_prompt_and_response_lengths_of_a_causal_row():
    sample = DataSample.from_rows(
        [
            {
                "input_ids": [1, 2, 3, 4, 0],
                "attention_mask": [1, 1, 1, 1, 0],
                "labels": [-100, -100, -100, 4, -100],
            },
            {"input_ids": [1, 2, 3, 4, 5], "labels": [-100] * 5},
        ]
    )
    signals = supervision_signals(sample)
    assert signals["prompt_tokens_mean"] == 4.0  # 3 and 5: padding is no prompt
    assert signals["response_tokens_mean"] == 0.5
    assert signals["prompt_response_ratio"] == 8.0
    assert signals["all_masked_share"] == 0.5


def test_inputs_are_the_prompt_of_an_encoder_decoder():
    row = {"input_ids": [1, 2, 3], "labels": [7, 8, -100]}
    sample = DataSample.from_rows([row], encoder_decoder=True)
    assert supervision_signals(sample)["prompt_tokens_mean"] == 3.0
    assert supervision_signals(sample)["response_tokens_mean"] == 2.0


def test_rows_are_counted_on_the_whole_set_though_only_some_are_read():
    signals = dataset_signals(rows_of(*[[i] for i in range(50)]), max_rows=10)
    assert signals["train_rows"] == 50.0
    assert signals["sampled_rows"] == 10.0


def test_a_stream_is_read_from_its_start_and_has_no_length():
    class Stream:
        def __iter__(self):
            return iter([{"input_ids": [i]} for i in range(100)])

    rows, n_rows = sample_rows(Stream(), 3)
    assert [row["input_ids"] for row in rows] == [[0], [1], [2]]
    assert n_rows is None


def test_a_one_shot_iterator_is_refused_and_not_consumed():
    once = iter([{"input_ids": [1]}])
    with pytest.raises(ValueError, match="one-shot"):
        sample_rows(once, 1)
    assert next(once) == {"input_ids": [1]}


def test_reading_ends_when_its_time_is_over():
    rows, n_rows = sample_rows(
        [{"input_ids": [i]} for i in range(100)], 100, deadline=Deadline(-1.0)
    )
    assert (len(rows), n_rows) == (1, 100)


def test_sampling_leaves_the_global_generators_alone():
    random.seed(3)
    np.random.seed(3)
    before = (random.getstate(), np.random.get_state()[1].tolist())
    dataset_signals(rows_of(*[[i, i + 1, i + 2, i + 3] for i in range(50)]), max_rows=20)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@given(n_rows=st.integers(0, 200), max_rows=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_sampled_rows_are_distinct_and_repeatable(n_rows, max_rows, seed):
    chosen = sample_indices(n_rows, max_rows, seed)
    assert len(set(chosen.tolist())) == len(chosen) == min(n_rows, max_rows)
    assert np.array_equal(chosen, sample_indices(n_rows, max_rows, seed))


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 2)),
        min_size=1,
        max_size=12,
    )
)
def test_every_share_lies_between_zero_and_one(rows):
    data = [{"input_ids": ids, "label": label, "text": "a-b"} for ids, label in rows]
    signals = dataset_signals(data, data, max_length=4)
    shares = {k: v for k, v in signals.items() if k.endswith(("share", "overlap", "balance"))}
    assert len(shares) >= 9
    assert all(-1e-9 <= value <= 1.0 + 1e-9 for value in shares.values()), shares
    assert signals["train_eval_overlap"] == 1.0
