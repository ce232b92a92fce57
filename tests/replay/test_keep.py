"""Which checkpoint to keep, and a run beside a good one."""

from __future__ import annotations

import json

import pytest

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.cli.replay import run_replay
from hf_ftrisk.replay.batch import Replayer, ReplayOptions
from hf_ftrisk.replay.compare import compare
from hf_ftrisk.replay.examples import load_example
from hf_ftrisk.replay.keep import keep_of
from hf_ftrisk.replay.text import findings, keep_words

GOAL = Goal("accuracy")
RUN = RunRecord(
    max_steps=400, eval_step=[100, 200, 300, 400], evals={"eval_accuracy": [0.6, 0.9, 0.8, 0.7]}
)


def test_the_best_evaluation_is_kept_whatever_came_last():
    keep = keep_of(RUN, GOAL)
    assert (keep.step, keep.value, keep.last) == (200, 0.9, 0.7)
    assert "checkpoint of step 200" in keep_words(keep, GOAL)


def test_a_loss_is_best_where_it_is_least():
    run = RunRecord(max_steps=3, eval_step=[1, 2, 3], evals={"eval_loss": [1.0, 0.5, 0.8]})
    assert keep_of(run, Goal("loss")).step == 2


def test_only_a_checkpoint_that_is_there_is_named(tmp_path):
    for step in (100, 300, 400):
        (tmp_path / f"checkpoint-{step}").mkdir()
    keep = keep_of(RUN, GOAL, tmp_path / "checkpoint-400" / "trainer_state.json")
    assert (keep.checkpoint, keep.checkpoint_value) == ("checkpoint-300", 0.8)
    assert "0.900 at step 200, has no checkpoint there" in keep_words(keep, GOAL)


def test_nothing_is_kept_of_a_run_that_was_best_untrained():
    run = RunRecord(max_steps=2, eval_step=[0, 2], evals={"eval_accuracy": [0.5, 0.4]})
    assert keep_words(keep_of(run, GOAL), GOAL).startswith("none: no evaluation was better")


def test_a_run_without_evaluations_has_none_to_keep():
    assert keep_of(RunRecord(max_steps=1), GOAL) is None


def replayed(record):
    return Replayer(ReplayOptions(goal="eval_accuracy")).replay_record(record, "this")


def test_two_runs_of_different_length_are_compared_at_equal_shares():
    longer = RunRecord(
        max_steps=4000,
        eval_step=[1000, 2000, 3000, 4000],
        evals={"eval_accuracy": [0.5, 0.95, 0.9, 0.9]},
        train_step=[400],
        train_loss=[1.0],
        learning_rate=[1e-3],
    )
    compared = compare(replayed(RUN), longer, "longer")
    at = {row.share: (row.here, row.there) for row in compared.rows if row.name == "eval_accuracy"}
    assert at[0.3] == (0.6, 0.5)
    assert at[0.5] == (0.9, 0.95)
    assert compared.behind_at == 0.5


def test_what_differs_most_early_is_named():
    def run(rate):
        return RunRecord(
            max_steps=100,
            train_step=[10, 50],
            train_loss=[1.0, 0.9],
            learning_rate=[rate, rate],
            eval_step=[50],
            evals={"eval_accuracy": [0.5]},
        )

    assert compare(replayed(run(1e-6)), run(1e-4), "good").worst.name == "learning rate"
    assert compare(replayed(run(1e-4)), run(1e-4), "good").worst is None


def test_the_command_sets_a_run_beside_a_file(tmp_path):
    good = tmp_path / "good.json"
    good.write_text(json.dumps(load_example("sound").state))
    text = run_replay(None, example="stopped", other=good)
    assert "compared with good.json, at equal shares" in text
    data = json.loads(run_replay(None, example="stopped", other=good, as_json=True))
    assert data["compared"]["behind_at"] == 0.1


@pytest.mark.parametrize(
    ("best", "words"),
    [(0.9, "the checkpoint of step 200"), (0.5, "none: no evaluation was better")],
)
def test_nothing_is_kept_of_a_run_that_never_beat_its_trivial_baseline(best, words):
    run = RunRecord(
        max_steps=300,
        eval_step=[100, 200, 300],
        evals={"eval_accuracy": [0.45, best, 0.4]},
        baselines={"eval_accuracy": 0.5},
    )
    told = dict(findings(replayed(run)))["keep"]
    assert told.startswith(words)
    assert ("than the trivial baseline, 0.500; the best was" in told) is (best == 0.5)
