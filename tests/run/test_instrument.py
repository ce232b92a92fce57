"""Every Trainer of an unchanged program is judged: real trainings, in this process."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch
from transformers import Trainer

from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.report import RiskReport
from hf_ftrisk.run.instrument import instrumented
from hf_ftrisk.run.options import NoGo, RunOptions, WrongUsage
from hf_ftrisk.run.script import run_script
from hf_ftrisk.run.training import own_goals
from tests.probing.models import bert, bert_trainer, lora, trained
from tests.run.trainings import ACCURACY, options, trainer_of
from tests.tiny_data import weights_hash


def detached(folder: Path):
    """A LoRA that its optimizer does not hold: certain to learn nothing."""
    model = bert()
    optimizer = torch.optim.AdamW(list(model.parameters()), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    return trainer_of(
        folder, model=lora(model, task_type="SEQ_CLS"), optimizers=(optimizer, scheduler)
    )


def test_weights_and_log_are_those_of_a_run_without_it(tmp_path, said):
    plain = trained(trainer_of(tmp_path))
    with instrumented(options(report_dir=tmp_path / "reports"), said.append) as instruments:
        assert trained(trainer_of(tmp_path)) == plain
    assert (instruments.status, instruments.trainings) == (0, 1)
    assert said == []  # this run ends at 0.98, and nothing was called poor
    before = RiskReport.load(tmp_path / "reports" / "preflight.json")
    watched = RiskReport.load(tmp_path / "reports" / "watch.json")
    assert before.stage == "preflight"
    assert watched.settings["preflight_steps"] == before.cost.spent_steps > 0
    assert watched.run.last_step == 24


def test_the_callback_is_gone_after_the_training(tmp_path, said):
    trainer = trainer_of(tmp_path)
    before = list(trainer.callback_handler.callbacks)
    with instrumented(options(preflight=False), said.append):
        trainer.train()
    assert trainer.callback_handler.callbacks == before


def test_nothing_is_printed_on_standard_output(tmp_path, said, capsys):
    def loud(prediction):
        print("measured")
        return {"accuracy": 0.5}

    def lines(watched: bool) -> list[str]:
        trainer = trainer_of(tmp_path)
        trainer.compute_metrics = loud
        if watched:
            with instrumented(options(), said.append):
                trainer.train()
        else:
            trainer.train()
        return [line for line in capsys.readouterr().out.splitlines() if "{" not in line]

    plain = lines(watched=False)
    assert plain == ["measured"] * 4
    assert lines(watched=True) == plain


def test_a_goal_the_evaluations_lack_refuses_the_first_training(tmp_path, said):
    trainer = trainer_of(tmp_path)
    weights = weights_hash(trainer.model)
    goal = Goal.parse("eval_f1>=0.5")
    running = instrumented(options(goals=(goal,)), said.append)
    with running as instruments, pytest.raises(WrongUsage):
        trainer.train()
    assert instruments.status == 2
    assert "eval_f1" in said[0]
    assert "eval_accuracy" in said[0]
    assert weights_hash(trainer.model) == weights
    assert trainer.state.global_step == 0


def test_without_preflight_a_goal_that_cannot_be_measured_is_refused_too(tmp_path, said):
    trainer = trainer_of(tmp_path)
    trainer.compute_metrics = None
    with instrumented(options(preflight=False), said.append), pytest.raises(WrongUsage):
        trainer.train()
    assert "compute_metrics" in said[0]


def test_each_training_takes_the_first_goal_that_it_measures(tmp_path, said):
    goals = (Goal.parse("eval_f1>=0.5"), ACCURACY)
    with instrumented(options(goals=goals, report_dir=tmp_path / "r"), said.append):
        trainer_of(tmp_path).train()
    assert RiskReport.load(tmp_path / "r" / "watch.json").goal == ACCURACY


def test_after_a_training_a_goal_that_is_missing_ends_nothing(tmp_path, said):
    with instrumented(options(report_dir=tmp_path / "r"), said.append) as instruments:
        trainer_of(tmp_path).train()
        second = trainer_of(tmp_path)
        second.compute_metrics = None
        second.train()
    assert instruments.status == 0
    assert second.state.global_step == 24
    report = RiskReport.load(tmp_path / "r" / "training-2" / "watch.json")
    assert report.goal.metric == "eval_loss"


def test_a_no_go_is_not_started(tmp_path, said):
    trainer = detached(tmp_path)
    running = instrumented(options(action="stop"), said.append)
    with running as instruments, pytest.raises(NoGo) as left:
        trainer.train()
    assert left.value.code == 3
    assert instruments.status == 3
    assert trainer.state.global_step == 0


def test_a_no_go_that_is_only_warned_of_is_trained(tmp_path, said):
    trainer = detached(tmp_path)
    with instrumented(options(action="warn"), said.append) as instruments:
        trainer.train()
    assert instruments.status == 0
    assert any("no-go" in line for line in said)
    assert trainer.state.global_step == 24


@pytest.mark.parametrize(("action", "status"), [("stop", 3), ("warn", 0)])
def test_a_run_that_fails_for_certain_is_stopped(tmp_path, said, action, status):
    trainer = trainer_of(tmp_path, max_steps=60)
    loss = trainer.compute_loss

    def broken(model, inputs, **given):
        value = loss(model, inputs, **given)
        late = trainer.state.global_step >= 3 and model.training
        return value * float("nan") if late and not given.get("return_outputs") else value

    trainer.compute_loss = broken
    with instrumented(options(preflight=False, action=action), said.append) as instruments:
        trainer.train()
    assert instruments.status == status
    assert (trainer.state.global_step < 60) is (action == "stop")


def test_a_fault_in_the_preflight_leaves_the_training_alone(tmp_path, said):
    plain = trained(trainer_of(tmp_path))
    trainer = trainer_of(tmp_path)
    measure, calls = trainer.compute_metrics, []

    def fails_at_first(prediction):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("not yet")
        return measure(prediction)

    trainer.compute_metrics = fails_at_first
    with instrumented(options(), said.append) as instruments:
        assert trained(trainer) == plain
    assert instruments.status == 0
    assert said == ["the pre-flight failed and is skipped: RuntimeError: not yet"]


def test_a_resumed_run_is_watched_but_not_probed(tmp_path, said):
    first = trainer_of(tmp_path, save_strategy="steps", save_steps=12)
    first.train()
    second = trainer_of(tmp_path)
    with instrumented(options(report_dir=tmp_path / "r"), said.append):
        second.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-12"))
    assert said == ["no pre-flight: the run resumes from a checkpoint"]
    assert weights_hash(second.model) == weights_hash(first.model)
    assert not (tmp_path / "r" / "preflight.json").exists()
    assert RiskReport.load(tmp_path / "r" / "watch.json").run.last_step == 24


def test_a_subclass_with_a_train_of_its_own_is_judged_once(tmp_path, said):
    from transformers import Trainer

    class Telling(Trainer):
        calls = 0

        def train(self, *args, **kwargs):
            type(self).calls += 1
            return super().train(*args, **kwargs)

    with instrumented(options(), said.append) as instruments:
        trainer_of(tmp_path, kind=Telling).train()
    assert (Telling.calls, instruments.trainings) == (1, 1)


@pytest.mark.slow
def test_trials_of_a_search_are_left_to_it_and_the_training_after_it_is_judged(tmp_path, said):
    pytest.importorskip("optuna")
    import optuna

    def best(watched: bool):
        trainer = trainer_of(tmp_path, model_init=lambda: bert())
        search = {
            "hp_space": lambda trial: {
                "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2)
            },
            "n_trials": 2,
            "direction": "maximize",
            "compute_objective": lambda metrics: metrics["eval_accuracy"],
            "sampler": optuna.samplers.RandomSampler(seed=0),
        }
        if not watched:
            return trainer.hyperparameter_search(**search)
        with instrumented(options(), said.append) as instruments:
            best_run = trainer.hyperparameter_search(**search)
            assert instruments.trainings == 0
            trainer.train()
            assert instruments.trainings == 1
        return best_run

    assert best(watched=True) == best(watched=False)
    assert said == [
        "the trials of a hyperparameter search are neither probed nor stopped: "
        "the search judges them",
        "no pre-flight: the Trainer has no model until it trains",
    ]


def test_runs_go_into_the_history(tmp_path, said):
    file = tmp_path / "runs.db"
    with instrumented(options(preflight=False, history=file), said.append):
        trainer_of(tmp_path).train()
    (run,) = RunHistory(file).records(metric="eval_accuracy")
    assert run.last_step == 24


# --- goals a Trainer names itself ----------------------------------------------------------------


def test_without_a_goal_the_trainers_own_is_taken(tmp_path):
    trainer = trainer_of(tmp_path)
    assert [goal.metric for goal in own_goals(trainer)] == ["eval_loss"]
    trainer.args.metric_for_best_model = "accuracy"
    assert [goal.metric for goal in own_goals(trainer)] == ["eval_accuracy", "eval_loss"]


def test_a_metric_of_unknown_direction_is_no_goal_of_its_own(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.args.metric_for_best_model = "frobnication"
    assert [goal.metric for goal in own_goals(trainer)] == ["eval_loss"]
    trainer.args.greater_is_better = False
    assert own_goals(trainer)[0] == Goal("eval_frobnication", greater_is_better=False)


def test_of_named_evaluation_sets_the_first_ones_loss(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.eval_dataset = {"dev": trainer.eval_dataset, "hard": trainer.eval_dataset}
    assert own_goals(trainer)[0].metric == "eval_dev_loss"


def test_a_trainer_that_measures_nothing_is_trained_and_its_steps_are_seen(tmp_path, said):
    trainer = bert_trainer(tmp_path, max_steps=12)
    trainer.eval_dataset = None
    with instrumented(options(goals=(), report_dir=tmp_path / "r"), said.append) as instruments:
        trainer.train()
    assert (instruments.status, said) == (0, [])
    before = RiskReport.load(tmp_path / "r" / "preflight.json")
    assert (before.verdict, before.cost.spent_steps) == ("UNDECIDED", 3)
    assert before.cost.full_seconds > 0
    assert RiskReport.load(tmp_path / "r" / "watch.json").run.last_step == 12


# --- options -------------------------------------------------------------------------------------


def test_a_report_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="report_dir"):
        RunOptions(report_dir=tmp_path / "file")


def test_a_history_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="folder"):
        RunOptions(history=tmp_path)


# --- through a script ----------------------------------------------------------------------------

SCRIPT = """\
import sys
from pathlib import Path
from tests.probing.models import bert_trainer
folder = Path(sys.argv[1])
trainer = bert_trainer(folder, max_steps=24, eval_strategy="steps", eval_steps=6)
try:
    trainer.train()
except Exception:
    print("swallowed")
finally:
    print("finally")
print("trained", trainer.state.global_step)
"""


@pytest.mark.parametrize(
    ("goal", "status", "printed"),
    [
        ("eval_accuracy>=0.6", 0, ["finally", "trained 24"]),
        ("eval_f1>=0.6", 2, ["finally"]),
    ],
)
def test_the_status_of_a_script(tmp_path, capsys, goal, status, printed):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    given = options(goals=(Goal.parse(goal),))
    assert run_script(str(script), [str(tmp_path)], options=given) == status
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if not line.startswith("{")] == printed


def test_a_script_that_only_loads_transformers_is_told_so(tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("from transformers import Trainer\nprint('done')\n"))
    assert run_script(str(script), options=options()) == 0
    captured = capsys.readouterr()
    assert captured.out == "done\n"
    assert "nothing was judged" in captured.err


class Answers(Trainer):
    """Evaluates as transformers' question-answering example does: scores in percent, no loss."""

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        loader = self.get_eval_dataloader(eval_dataset)
        output = self.evaluation_loop(loader, "Evaluation", metric_key_prefix=metric_key_prefix)
        metrics = {f"{metric_key_prefix}_f1": 100 * output.metrics[f"{metric_key_prefix}_accuracy"]}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


@pytest.mark.parametrize("goals", [(), (Goal.parse("eval_f1>=50"),)])
def test_scores_in_percent_without_a_loss_are_probed_and_watched(tmp_path, said, goals):
    trainer = trainer_of(tmp_path, kind=Answers)
    asked = options(goals=goals, report_dir=tmp_path / "reports")
    with instrumented(asked, said.append) as instruments:
        trainer.train()
    assert instruments.status == 0
    assert not any("neither probed nor watched" in line for line in said)
    before = RiskReport.load(tmp_path / "reports" / "preflight.json")
    watched = RiskReport.load(tmp_path / "reports" / "watch.json")
    for report in (before, watched):
        assert (report.goal.metric, report.goal.kind) == ("eval_f1", "percent")
        low, high = report.forecast.interval(0.9)
        assert 0 <= low <= high <= 100
        assert high > 1
    assert watched.outcome > 1
    assert before.probes[0].evals["eval_f1"].max() > 1


def test_a_run_with_nothing_to_gain_is_finished_which_is_no_stop(tmp_path, said):
    asked = options(
        preflight=False,
        action="stop",
        finish="gain",
        goals=(Goal.parse("eval_accuracy>=0.01"),),
        report_dir=tmp_path / "reports",
    )
    flat = {"learning_rate": 1e-9, "max_steps": 60, "eval_steps": 5}
    trainer = bert_trainer(tmp_path, eval_strategy="steps", **flat)
    with instrumented(asked, said.append) as instruments:
        trainer.train()
    assert trainer.state.global_step < 60
    assert instruments.status == 0
    report = RiskReport.load(tmp_path / "reports" / "watch.json")
    assert report.finish.step == trainer.state.global_step
    assert report.stopped_at is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"finish": "later"}, "finish must be one of"), ({"tolerance": -1.0}, "tolerance must be")],
)
def test_a_way_to_finish_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        options(**changes)
