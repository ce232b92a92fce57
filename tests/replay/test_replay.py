"""Replaying finished and running jobs from their files."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk import Forecast, Goal, RunHistory, RunRecord
from hf_ftrisk.cli.replay import run_replay
from hf_ftrisk.policy import StoppingRule
from hf_ftrisk.policy import packaged as reference_rule
from hf_ftrisk.replay.files import find_states
from hf_ftrisk.replay.replay import default_goal, replay_run
from hf_ftrisk.replay.summary import summarize
from hf_ftrisk.replay.text import replay_text

GOAL = Goal("accuracy", target=0.7)


class LastValue:
    """Forecast: uniform within 0.1 of the last evaluation."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        _, values = record.curve(goal.metric)
        center = values[-1] if values.size else 0.7
        return Forecast(center + np.linspace(-0.1, 0.1, 101), step=record.last_step)


def rule(scores=(), rate=0.1) -> StoppingRule:
    return StoppingRule(GOAL, LastValue(), rate, scores=scores)


def state(accuracies, *, max_steps=100, every=10, losses=None, **fields):
    history = []
    for i, accuracy in enumerate(accuracies, start=1):
        loss = 1.0 / i if losses is None else losses[i - 1]
        history.append({"step": i * every, "epoch": i / 10, "loss": loss, "grad_norm": 1.0})
        history.append({"step": i * every, "epoch": i / 10, "eval_accuracy": accuracy})
    return {
        "global_step": len(accuracies) * every,
        "max_steps": max_steps,
        "log_history": history,
    } | fields


RISING = [0.5 + 0.03 * i for i in range(10)]
FALLING = [0.7 - 0.04 * i for i in range(10)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(state(RISING)))
    return path


def test_each_look_sees_its_prefix_alone():
    record = RunRecord.from_trainer_state(state(RISING))
    for look in replay_run(record, rule(), shares=[0.25, 0.5]).looks:
        assert look.observed == RISING[look.step // 10 - 1]
        assert look.median == pytest.approx(look.observed)


def test_the_outcome_is_told_and_judged():
    replay = replay_run(RunRecord.from_trainer_state(state(RISING)), rule())
    assert replay.outcome == pytest.approx(0.77)
    assert replay.good is True
    assert "(good)" in replay_text(replay)


def test_a_run_is_stopped_at_the_first_look_below_the_threshold():
    replay = replay_run(RunRecord.from_trainer_state(state(FALLING)), rule(scores=(0.2,) * 9))
    # P(good) is (x + 0.1 - 0.7) / 0.2 for a last value x: 0.3 at step 20, 0.1 at step 30.
    assert replay.stopped_at == 30
    assert replay.saved_share == pytest.approx(0.7)
    assert replay.good is False
    assert f"below the threshold of {0.2 * 0.3**0.25:.2g}" in (replay.reason or "")
    assert "stopped: at step 30, 70 % of the run saved." in replay_text(replay)


def test_a_rule_that_cannot_stop_says_what_is_missing():
    replay = replay_run(RunRecord.from_trainer_state(state(FALLING)), rule())
    assert replay.stopped_at is None
    assert "9 more" in (replay.reason or "")


def test_a_run_forecast_poor_and_not_stopped_says_why():
    replay = replay_run(RunRecord.from_trainer_state(state(FALLING)), rule(scores=(0.0,) * 9))
    assert replay.stopped_at is None
    words = " ".join(replay_text(replay).split())
    assert "stopped: never. P(eval_accuracy >= 0.7) = 0.000 at step" in words
    assert "not below the threshold of" in words


def test_a_run_that_ended_poor_after_good_forecasts_says_why_it_went_on():
    late_fall = [0.75, *[0.8] * 8, 0.4]
    replay = replay_run(RunRecord.from_trainer_state(state(late_fall)), rule(scores=(0.0,) * 9))
    assert replay.good is False
    assert "not below the threshold of" in (replay.reason or "")


def test_a_run_forecast_good_needs_no_reason_for_going_on():
    replay = replay_run(RunRecord.from_trainer_state(state(RISING)), rule(scores=(0.0,) * 9))
    assert "stopped: never.\n" in replay_text(replay)


def test_an_outcome_that_is_not_known_is_held_against_no_interval():
    values = [*RISING[:-1], math.nan]
    replay = replay_run(RunRecord.from_trainer_state(state(values)), rule())
    assert "outcome: unknown" in replay_text(replay)
    assert "contained it" not in replay_text(replay)


def test_a_certain_failure_stops_without_any_calibration():
    losses = [1.0, 0.9, math.nan, math.nan, *([math.nan] * 6)]
    replay = replay_run(RunRecord.from_trainer_state(state(RISING, losses=losses)), rule())
    assert (replay.stopped_at, replay.certain) == (40, True)


def test_a_running_job_is_forecast_where_it_stands():
    record = RunRecord.from_trainer_state(state(RISING[:4], max_steps=95))
    replay = replay_run(record, rule())
    assert replay.looks[-1].step == 40
    assert replay.outcome is None
    assert "not known, the run is running; so far 0.590" in replay_text(replay)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_depth_outside_the_run_is_refused(share):
    with pytest.raises(ValueError, match="share of the run"):
        replay_run(RunRecord.from_trainer_state(state(RISING)), rule(), shares=[share])


def test_a_depth_that_is_not_recorded_yet_is_refused():
    with pytest.raises(ValueError, match=r"step 40 of 95"):
        replay_run(
            RunRecord.from_trainer_state(state(RISING[:4], max_steps=95)), rule(), shares=[0.9]
        )


def test_the_default_goal_is_an_accuracy_then_a_score_then_the_loss():
    def run(*names):
        return RunRecord(max_steps=1, eval_step=[1], evals={name: [0.5] for name in names})

    assert default_goal(run("eval_loss", "eval_f1", "eval_accuracy")).metric == "eval_accuracy"
    assert default_goal(run("eval_loss", "eval_f1", "eval_zorp")).metric == "eval_f1"
    assert default_goal(run("eval_loss", "eval_gen_len")).metric == "eval_loss"
    assert default_goal(run()).metric == "eval_loss"


def test_an_accuracy_in_percent_is_judged_as_one_in_fractions_and_told():
    record = RunRecord(max_steps=2, eval_step=[1, 2], evals={"eval_accuracy": [55.0, 65.0]})
    for goal in (GOAL, Goal("accuracy", target=70.0)):
        replay = replay_run(record, StoppingRule(goal, LastValue(), 0.1, scores=()))
        assert (replay.goal.kind, replay.goal.target) == ("percent", 70.0)
        assert (replay.outcome, replay.good) == (65.0, False)
        assert len(replay.notes) == (goal is GOAL)


def test_an_end_that_is_poor_on_one_scale_and_good_on_the_other_is_neither_and_told():
    goal = Goal("f1", target=80.0)
    for values, good in (([0.85, 0.9], None), ([0.9, 64.0], False), ([0.9, 81.0], True)):
        record = RunRecord(max_steps=2, eval_step=[1, 2], evals={"eval_f1": values})
        replay = replay_run(record, StoppingRule(goal, LastValue(), 0.1, scores=()))
        assert (replay.goal.kind, replay.good, record.met(goal)) == ("percent", good, good)
        assert any("give the target as one" in note for note in replay.notes) == (good is None)


def test_the_evaluation_before_training_is_the_baseline():
    history = [{"step": 0, "eval_loss": 2.0}, {"step": 10, "eval_loss": 2.5}]
    record = RunRecord.from_trainer_state({"max_steps": 10, "log_history": history})
    replay = replay_run(record, StoppingRule(Goal("loss"), LastValue(), 0.1, scores=()))
    assert replay.baseline == 2.0
    assert replay.good is False


def test_a_folder_gives_the_latest_checkpoint_of_each_run(tmp_path):
    for run, step in (("a", 500), ("a", 1000), ("b", 90)):
        folder = tmp_path / run / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text("{}")
        (folder / "config.json").write_text("{}")
    (tmp_path / "b" / "trainer_state.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    names = [file.relative_to(tmp_path).as_posix() for file in find_states(tmp_path)]
    assert names == ["a/checkpoint-1000/trainer_state.json", "b/trainer_state.json", "other.json"]


def test_a_checkpoint_folder_is_one_run(tmp_path):
    folder = tmp_path / "checkpoint-40"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps(state(RISING)))
    assert [file.parent.name for file in find_states(folder)] == ["checkpoint-40"]


def test_the_summary_counts_stops_and_errors():
    records = [RunRecord.from_trainer_state(state(values)) for values in (RISING, FALLING)]
    replays = [replay_run(record, rule(scores=(0.2,) * 9), shares=[0.5]) for record in records]
    summary = summarize(replays)
    assert (summary.runs, summary.finished, summary.good) == (2, 2, 1)
    assert summary.stopped >= 1
    saved = sum(replay.saved_share for replay in replays) / 2
    assert summary.saved_share == pytest.approx(saved)
    (depth,) = summary.depths
    # Half way both forecasts say the last value: the curves still move by 5 steps of 0.03, 0.04.
    assert depth.error == pytest.approx((0.15 + 0.2) / 2)
    assert (depth.runs, depth.coverage) == (2, 0.0)


def test_the_json_of_a_file_is_strict_and_complete(file):
    data = json.loads(run_replay(file, goal="accuracy>=0.7", as_json=True))
    assert data["outcome"] == pytest.approx(0.77)
    assert data["good"] is True
    assert {"step", "median", "low", "high", "prob_good"} <= set(data["looks"][0])


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (("a",), "a.json: finished, step 100 of 100"),
        (("a", "b"), "2 runs, 2 with an outcome, 2 good of 2 that have a goal"),
    ],
)
def test_a_folder_tells_what_it_left_out(tmp_path, runs, told):
    (tmp_path / "config.json").write_text('{"hidden_size": 16}')
    for name in runs:
        (tmp_path / f"{name}.json").write_text(json.dumps(state(RISING)))
    text = run_replay(tmp_path, goal="accuracy>=0.7")
    assert told in text
    assert "left out config.json" in text


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run to replay"):
        run_replay(tmp_path)


def a_run(seed: int, task: str | None = "t") -> RunRecord:
    """A run like that of the file; that of seed 0 is it, in the middle of the others."""
    values = [value + 0.001 * seed for value in RISING]
    return RunRecord.from_trainer_state(state(values), task=task, seed=seed)


def test_a_history_calibrates_the_stop(tmp_path, file):
    RunHistory(tmp_path / "runs.db").add_all(a_run(s) for s in range(-10, 11) if s)
    data = json.loads(
        run_replay(file, goal="accuracy>=0.7", history=tmp_path / "runs.db", as_json=True)
    )
    assert data["reason"] is None  # the rule could have stopped it, and did not


@pytest.fixture
def nothing_packaged(tmp_path, monkeypatch):
    """No packaged scores: a rule rests on the history alone."""
    monkeypatch.setattr(reference_rule, "SCORES_FILE", tmp_path / "none.json")
    reference_rule.reference_scores.cache_clear()
    yield
    reference_rule.reference_scores.cache_clear()


@pytest.mark.usefixtures("nothing_packaged")
def test_a_run_in_the_history_is_replayed_without_itself(tmp_path, file):
    """19 good runs would do for a rate of 5 %; the 18 others do not."""
    RunHistory(tmp_path / "runs.db").add_all(a_run(seed) for seed in range(-9, 10))
    text = run_replay(file, goal="accuracy>=0.7", history=tmp_path / "runs.db")
    assert "it has 18 good completed runs and needs 1 more" in " ".join(text.split())


def test_a_history_of_several_tasks_asks_which(tmp_path, file):
    RunHistory(tmp_path / "runs.db").add_all([a_run(1, "one"), a_run(2, "two"), a_run(3, "two")])
    with pytest.raises(ValueError, match=r"choose one with --task, of \['one', 'two'\]"):
        run_replay(file, history=tmp_path / "runs.db")
    with pytest.raises(ValueError, match="no run of the task 'three'"):
        run_replay(file, history=tmp_path / "runs.db", task="three")
    assert run_replay(file, history=tmp_path / "runs.db", task="two")


def test_every_line_fits_a_terminal(file):
    for line in run_replay(file).splitlines():
        assert len(line) <= 100


def several_eval_sets():
    history = [
        {"step": s, f"eval_{name}_{metric}": 0.5 + 0.001 * s}
        for s in range(10, 101, 10)
        for name in ("b", "a")
        for metric in ("loss", "accuracy", "f1")
    ]
    return {"global_step": 100, "max_steps": 100, "log_history": history}


def test_what_commands_a_terminal_is_not_printed(tmp_path):
    log = [
        {"step": step, "eval_accuracy": 0.5 + step / 200, "eval_\x1b[2Jodd\x9b": 0.5}
        for step in (10, 20, 30)
    ]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": log, "max_steps": 40, "global_step": 30}))
    for text in (run_replay(path), run_replay(tmp_path)):
        assert not [c for c in text if (c < " " and c != "\n") or c in "\x7f\x9b"]
    assert "odd" in run_replay(path)


def test_other_metrics_are_named_where_nobody_chose_one(tmp_path):
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(several_eval_sets()))
    text = " ".join(run_replay(path).split())
    assert "goal: eval_a_accuracy" in text
    assert "also evaluated: eval_a_f1, eval_b_f1, eval_a_loss" in text
    assert "choose with --goal" in text
    assert "choose with" not in run_replay(path, goal="b_f1")


def test_of_a_goal_that_was_never_evaluated_those_that_were_are_named(tmp_path):
    path = tmp_path / "trainer_state.json"
    state = several_eval_sets() | {"max_steps": 200}  # a finished run is refused
    path.write_text(json.dumps(state))
    text = " ".join(run_replay(path, goal="a_Accuracy>=0.9").split())
    assert "eval_a_Accuracy was never evaluated" in text
    assert "eval_a_f1, eval_b_f1, eval_a_loss" in text


def test_a_policy_gradient_run_is_not_forecast_from_its_loss():
    history = [{"step": s, "loss": 1e-3, "reward": 0.1 * s, "kl": 0.0} for s in range(1, 11)]
    record = RunRecord.from_trainer_state(
        {"global_step": 10, "max_steps": 10, "log_history": history}
    )
    replay = replay_run(record, StoppingRule(Goal("loss"), LastValue(), 0.1, scores=()))
    assert replay.looks == ()
    assert replay.diagnoses == ()
    assert "its loss says nothing" in " ".join(replay_text(replay).split())


def test_a_resumed_run_is_replayed_along_the_branch_that_was_kept():
    kept = state([0.5] * 10)["log_history"]
    abandoned = state([0.9] * 6)["log_history"]
    resumed = [*abandoned, *(entry for entry in kept if entry["step"] > 30)]
    record = RunRecord.from_trainer_state(
        {"global_step": 100, "max_steps": 100, "log_history": resumed}
    )
    observed = [look.observed for look in replay_run(record, rule(), shares=[0.3, 0.6]).looks]
    assert observed == [0.9, 0.5]


def test_an_empty_log_is_told_as_such():
    replay = replay_run(RunRecord.from_trainer_state({"max_steps": 100, "log_history": []}), rule())
    assert "not known, eval_accuracy was never evaluated" in replay_text(replay)


@given(
    st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=12),
    st.integers(1, 200),
    st.sampled_from([0.1, 0.3, 0.9]),
)
@settings(max_examples=40, deadline=None)
def test_any_run_can_be_replayed_worded_and_written(values, max_steps, share):
    record = RunRecord.from_trainer_state(state(values, max_steps=max_steps))
    known = record.last_step >= share * record.max_steps
    replay = replay_run(record, rule(scores=(0.2,) * 9), shares=[share] if known else None)
    assert replay_text(replay)
    json.dumps(replay.to_dict(), allow_nan=False)
    if replay.stopped_at is not None:
        # The stop is decided on the prefix alone: the run cut off there is stopped there too.
        again = replay_run(record.prefix(replay.stopped_at), rule(scores=(0.2,) * 9))
        assert again.stopped_at == replay.stopped_at


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hf_ftrisk", "replay", *arguments], capture_output=True, text=True
    )


def test_the_command_prints_a_table_and_exits_with_0(file):
    done = run_command(str(file), "--goal", "eval_accuracy>=0.7", "--at", "0.3")
    assert done.returncode == 0, done.stderr
    assert "30 %" in done.stdout
    assert "outcome: 0.770 (good)" in done.stdout


def test_the_command_replays_another_rule(file):
    done = run_command(str(file), "--goal", "eval_accuracy>=0.95", "--rule", "patience")
    assert done.returncode == 0, done.stderr
    assert "3 in a row end the run" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.json"], "missing.json"),
        (["{file}", "--goal", "accuracy<=0.7"], "direction"),
        (["{file}", "--at", "2"], "share of the run"),
        (["{file}", "--history", "missing.db"], "missing.db"),
        (["{file}", "--rule", "median"], "calibrated, patience"),
    ],
)
def test_the_command_refuses_what_cannot_be_with_exit_status_2(file, arguments, message):
    done = run_command(*[argument.format(file=file) for argument in arguments])
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_a_replay_imports_neither_torch_nor_transformers_nor_what_is_slow_to_import(file):
    code = (
        "import sys; from pathlib import Path; from hf_ftrisk.cli.replay import run_replay; "
        f"run_replay(Path({str(file)!r})); "
        "print(sorted({'torch', 'transformers', 'datasets', 'sklearn', 'pandas', 'lightgbm'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_whole_command_takes_little_more_than_importing_what_it_rests_on(file):
    def seconds(call) -> float:
        """Processor time, the least of three: the first may compile or read cold files."""
        taken = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            call().check_returncode()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(taken)

    # A ratio, since a second of one processor is three of another.
    imports = [sys.executable, "-c", "import numpy, scipy.special, typer, rich"]
    floor = seconds(lambda: subprocess.run(imports, check=False))
    whole = seconds(lambda: run_command(str(file), "--goal", "eval_accuracy>=0.7"))
    assert whole < 3.0 * floor
