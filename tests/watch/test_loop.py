"""`watch_loop`: a loop without a Trainer is watched as a Trainer's run is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_ftrisk import Goal, RunHistory, Verdict, watch_loop
from tests.watch.two_loops import train

ROOT = Path(__file__).parents[2]
RATES = np.linspace(1e-3, 0.0, 40)


def looped(w, *, steps=40, loss=lambda step: 1.0 / step, accuracy=lambda step: 0.9 - 1.0 / step):
    """Steps until the loop ends or is to stop, evaluated every 10; those that were done."""
    with w:
        for step in range(1, steps + 1):
            w.step(loss=loss(step), grad_norm=1.0)
            if step % 10 == 0:
                w.evaluate({"accuracy": accuracy(step)})
            if w.should_stop:
                return step
    return steps


def test_a_good_loop_runs_to_its_end_and_is_reported(tmp_path, capsys):
    w = watch_loop("eval_accuracy>=0.8", 40, learning_rates=RATES, report_dir=tmp_path)
    assert looped(w) == 40
    assert w.report.verdict is Verdict.GO
    assert w.report.outcome == pytest.approx(0.875)
    assert w.report.run.status == "finished"
    assert w.report.run.train_step.tolist() == list(range(1, 41))
    assert w.report.run.schedule.tolist() == RATES.tolist()
    assert w.report.run.settings["trainer"] == "loop"
    assert w.report.looks
    assert json.loads((tmp_path / "watch.json").read_text())["outcome"] == pytest.approx(0.875)
    assert "watching eval_accuracy>=0.8" in capsys.readouterr().out


@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_a_percent_metric_that_begins_below_1_is_in_percent_from_its_first_value(metric, capsys):
    values = {10: 0.9, 20: 37.0, 30: 72.0, 40: 81.0}
    w = watch_loop(f"eval_{metric}>=80", 40)
    kinds = []
    with w:
        for step in range(1, 41):
            w.step(loss=1.0 / step)
            if step in values:
                w.evaluate({metric: values[step]})
                kinds.append(w.report.goal.kind)
                assert w.report.verdict is not Verdict.NO_GO
    assert kinds == ["percent"] * 4
    assert w.report.verdict is Verdict.GO
    assert w.report.goal.target == 80.0
    assert "as a fraction (" not in capsys.readouterr().out


@pytest.mark.parametrize("missing", [float("nan"), float("inf")])
def test_no_run_is_a_go_while_its_last_evaluation_has_no_value(missing):
    w = watch_loop("eval_accuracy>=0.8", 100)
    values = {10: 0.9, 20: 0.91, 30: missing, 40: 0.92, 50: missing}
    verdicts = []
    with w:
        for step in range(1, 51):
            w.step(loss=1.0 / step)
            if step in values:
                w.evaluate({"accuracy": values[step]})
                verdicts.append(w.report.verdict)
    go, undecided = Verdict.GO, Verdict.UNDECIDED
    assert verdicts[1:] == [go, undecided, go, undecided]
    assert w.report.verdict is undecided
    assert f"eval_accuracy is {missing:g} at step 50, its last evaluation" in w.report.reasons[0]


def test_a_run_whose_scale_its_values_leave_open_is_not_called_poor():
    w = watch_loop("eval_f1>=80", 40)
    with w:
        for step in range(1, 41):
            w.step(loss=1.0)
            if step % 20 == 0:
                w.evaluate({"f1": 0.85})
    assert w.report.verdict is Verdict.UNDECIDED
    assert "give the target as one, such as 0.8" in w.report.reasons[0]


def test_a_loss_that_stays_nan_stops_the_loop_as_certain():
    def loss(step: int) -> torch.Tensor:
        return torch.tensor(float("nan") if step >= 5 else 1.0)

    w = watch_loop("eval_accuracy>=0.8", 400, check_steps=5, save_on_stop=True)
    assert looped(w, steps=400, loss=loss, accuracy=lambda step: 0.5) < 60
    assert w.should_stop
    assert w.report.verdict is Verdict.NO_GO
    assert w.report.stopped_at is not None
    assert not w.should_save  # ruined weights are not worth a checkpoint


def test_with_action_warn_the_loop_goes_on():
    w = watch_loop("eval_accuracy>=0.8", 40, action="warn", check_steps=5)
    assert looped(w, loss=lambda step: float("nan")) == 40
    assert w.report.stopped_at is None


def test_an_evaluation_before_the_first_step_is_the_baseline_of_a_loss():
    with watch_loop("eval_loss", 20) as w:
        w.evaluate({"loss": 4.0})
        for step in range(1, 21):
            w.step(loss=4.0)
            if step % 5 == 0:
                w.evaluate({"eval_loss": 4.0})
    assert w.report.baseline == pytest.approx(4.0)
    assert w.report.verdict is Verdict.NO_GO  # it ended no better than it began


def test_labels_give_the_majority_as_baseline():
    w = watch_loop("eval_accuracy", 40, eval_labels=[0, 0, 0, 1])
    looped(w)
    assert w.report.baseline == pytest.approx(0.75)


def test_a_loop_that_is_never_evaluated_is_watched_by_its_training_loss():
    with watch_loop("eval_loss", 40, evaluations=0) as w:
        for step in range(1, 41):
            w.step(loss=1.0 / step)
    assert w.report.verdict is Verdict.UNDECIDED
    assert "train_loss_end" in w.report.signals


def test_forecasts_go_to_the_loops_trackers():
    logged: list[tuple[int, dict[str, float]]] = []
    w = watch_loop("eval_accuracy>=0.8", 40, log=lambda values, step: logged.append((step, values)))
    looped(w)
    assert all(name.startswith("ftrisk/") for _, values in logged for name in values)
    assert {10, 20, 30} <= {step for step, _ in logged}


def test_completed_loops_are_kept(tmp_path):
    for best in (0.9, 0.95):
        w = watch_loop("eval_accuracy>=0.8", 40, history=tmp_path / "runs.db", task="mine")
        looped(w, accuracy=lambda step, best=best: best - 1.0 / step)
    runs = RunHistory(tmp_path / "runs.db").records(task="mine")
    outcomes = sorted(run.outcome(Goal("eval_accuracy")) for run in runs)
    assert outcomes == [pytest.approx(0.875), pytest.approx(0.925)]


def failing(w):
    with w:
        w.step(loss=1.0)
        raise ZeroDivisionError


def test_a_loop_that_fails_leaves_no_outcome_and_its_own_error():
    w = watch_loop("eval_accuracy>=0.8", 40)
    with pytest.raises(ZeroDivisionError):
        failing(w)
    assert w.report is None or w.report.run.status == "running"


def test_what_cannot_be_read_ends_the_watching_and_not_the_loop(caplog):
    w = watch_loop("eval_accuracy>=0.8", 40)
    assert looped(w, loss=lambda step: "high") == 40
    assert "the training goes on" in caplog.text
    assert not w.should_stop


def test_an_optimizers_rate_is_read_and_cooled_down():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 40)
    w = watch_loop("eval_loss", 40, optimizer=optimizer, learning_rates=scheduler)
    with w:
        for _ in range(40):
            optimizer.step()
            scheduler.step()
            w.step(loss=1.0)
    rates = w.report.run.learning_rate
    assert rates.tolist() == pytest.approx(w.report.run.schedule.tolist())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": 10, "learning_rates": [0.1]}, "10 steps"),
        ({"max_steps": 10, "finish": "anneal"}, "optimizer"),
        ({"max_steps": 10, "first_step": -1}, "first_step"),
        ({"max_steps": 10, "action": "explode"}, "action"),
    ],
)
def test_what_cannot_work_is_refused_before_the_loop(given, says):
    with pytest.raises(ValueError, match=says):
        watch_loop("eval_accuracy", **given)


# --- real loops of accelerate -------------------------------------------------------------------


def test_an_accelerate_loop_trains_the_same_weights_watched(tmp_path):
    watched, plain = train(True, tmp_path), train(False, tmp_path)
    assert watched["weights"] == plain["weights"]
    assert watched["steps"] == 30
    assert watched["verdict"] in ("GO", "UNDECIDED")


@pytest.mark.slow
def test_two_processes_see_one_loop_and_stop_at_one_step(tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *command, "-m", "tests.watch.two_loops", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["world"] == 2
    assert ranks[0] == ranks[1]
    # One rank's loss is NaN: the mean is, and both stop long before the end.
    assert ranks[0]["broken"]["steps"] < 60
    assert ranks[0]["broken"]["verdict"] == "NO_GO"
    assert ranks[0]["sound"]["steps"] == 30
    assert done.stdout.count("watching eval_accuracy>=0.6") == 2  # two loops, said by rank 0 alone
