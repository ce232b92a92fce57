"""Logs of other trackers: TensorBoard event files, CSV exports of W&B and others."""

from __future__ import annotations

import pytest
from tensorboardX import SummaryWriter

from hf_ftrisk.cli.replay import run_replay
from hf_ftrisk.record.other_logs import read_other_log


def write_events(folder, *, arguments=None, last=100, summary=False):
    with SummaryWriter(str(folder)) as writer:
        if arguments is not None:
            writer.add_text("args", arguments)
        for step in range(10, last + 1, 10):
            writer.add_scalar("train/loss", 1 / step, step)
            writer.add_scalar("train/epoch", step / 50, step)
            writer.add_scalar("eval/accuracy", 0.5 + step / 400, step)
        if summary:
            writer.add_scalar("train/train_runtime", 3.0, last)
    (file,) = folder.glob("*tfevents*")
    return file


def test_an_event_file_is_read_as_the_trainer_wrote_it(tmp_path):
    record, note = read_other_log(write_events(tmp_path, summary=True))
    assert record.status == "finished"
    assert record.evals["eval_accuracy"].tolist() == pytest.approx(
        [0.5 + step / 400 for step in range(10, 101, 10)]
    )
    assert record.train_loss[0] == pytest.approx(0.1)
    assert note is None


def test_the_planned_steps_come_from_the_training_arguments(tmp_path):
    steps = write_events(tmp_path / "a", arguments='{"max_steps": 200, "num_train_epochs": 3}')
    epochs = write_events(tmp_path / "b", arguments='{"max_steps": -1, "num_train_epochs": 3}')
    for file, planned in ((steps, 200), (epochs, 150)):
        record, note = read_other_log(file)
        assert (record.max_steps, record.status, note) == (planned, "running", None)


def test_a_log_without_a_plan_is_read_as_far_as_it_goes_and_says_so(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("step,loss,eval_f1\n10,0.9,\n10,,0.5\n20,0.7,0.6\n")
    record, note = read_other_log(file)
    assert (record.max_steps, record.status) == (20, "finished")
    assert "--max-steps" in note
    record, note = read_other_log(file, max_steps=40)
    assert (record.max_steps, record.status, note) == (40, "running", None)


def test_a_wandb_history_counts_optimizer_steps_not_its_own(tmp_path):
    file = tmp_path / "history.csv"
    file.write_text(
        "_step,train/global_step,train/loss,eval/accuracy\n0,100,0.9,\n1,100,,0.6\n2,200,0.5,0.7\n"
    )
    record, _ = read_other_log(file)
    assert record.eval_step.tolist() == [100, 200]
    assert record.evals["eval_accuracy"].tolist() == [0.6, 0.7]


def test_a_chart_of_several_runs_is_refused_with_their_names(tmp_path):
    file = tmp_path / "chart.csv"
    file.write_text("Step,sun - eval/f1,sun - eval/f1__MIN,moon - eval/f1\n5,0.1,0.1,0.2\n")
    with pytest.raises(ValueError, match=r"holds 2 runs, moon, sun: export the chart with one"):
        read_other_log(file)


def test_a_chart_that_wandb_exported_is_read_by_its_metric(tmp_path):
    file = tmp_path / "chart.csv"
    file.write_text(
        '"train/global_step","my - run - eval/loss","my - run - eval/loss__MIN"\n'
        '"50","0.9","0.9"\n"100","0.8","0.8"\n'
    )
    record, _ = read_other_log(file)
    assert record.evals["eval_loss"].tolist() == [0.9, 0.8]
    assert list(record.evals) == ["eval_loss"]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "step\n1\n", "\x00\x01", "step,loss\nx,y\n"])
def test_a_csv_file_that_is_no_log_is_refused_with_what_was_expected(tmp_path, text):
    file = tmp_path / "odd.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"odd\.csv"):
        read_other_log(file)


def test_a_folder_of_event_files_is_replayed(tmp_path):
    write_events(tmp_path / "runs" / "one", summary=True)
    write_events(tmp_path / "runs" / "two", arguments='{"max_steps": 200}')
    text = run_replay(tmp_path, goal="eval_accuracy>=0.7")
    assert "100/100" in text
    assert "100/200" in text
