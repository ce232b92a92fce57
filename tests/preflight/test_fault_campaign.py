"""An error at every stage of a pre-flight: it comes through, and everything is as before."""

from __future__ import annotations

import pytest
import torch

from hf_ftrisk.preflight import preflight, session
from tests.preflight.faults import METHODS, Fault, FaultyTrainer, even_clock
from tests.preflight.models import bert, bert_trainer, lora, trained
from tests.preflight.traces import differences, state_of

_ERRORS = (RuntimeError, torch.OutOfMemoryError, KeyboardInterrupt)


def _preflight(trainer):
    return preflight(
        trainer, goal="eval_accuracy>=0.8", budget=0.9, seeds=2, depths=[2, 4], signal_seconds=1
    )


def _with_fault(fault: Fault) -> None:
    FaultyTrainer.fault_box[0] = fault


@pytest.fixture(scope="module", autouse=True)
def _even_clock():
    with pytest.MonkeyPatch.context() as monkeypatch:
        even_clock(monkeypatch)
        yield


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """(trainer, its state, calls of each method in an undisturbed pre-flight)."""
    trainer = bert_trainer(
        tmp_path_factory.mktemp("campaign"),
        kind=FaultyTrainer,
        model=lora(bert(), task_type="SEQ_CLS"),
        gradient_checkpointing=True,
        gradient_accumulation_steps=2,
    )
    before = state_of(trainer)
    fault = Fault()
    _with_fault(fault)
    _preflight(trainer)
    return trainer, before, fault.calls


@pytest.mark.slow
@pytest.mark.parametrize("name", [*METHODS, *(f"after {name}" for name in METHODS)])
def test_a_fault_in_any_call_leaves_no_trace(subject, name) -> None:
    trainer, before, calls = subject
    total = calls[name]
    assert total > 0
    for number, call in enumerate(
        sorted({1, 2, total // 2, total - 1, total} & {*range(1, total + 1)})
    ):
        error = _ERRORS[number % len(_ERRORS)](f"planted in call {call} of {name}")
        _with_fault(Fault(name, call, error))
        with pytest.raises(type(error), match=f"planted in call {call} of {name}"):
            _preflight(trainer)
        assert differences(before, state_of(trainer)) == [], (name, call)


@pytest.mark.parametrize("stage", ["weigh", "make_plan", "known_baseline"])
@pytest.mark.parametrize("error", _ERRORS)
def test_a_fault_of_ours_leaves_no_trace(subject, monkeypatch, stage, error) -> None:
    trainer, before, _ = subject
    _with_fault(Fault())

    def fail(*args, **kwargs):
        raise error("planted")

    monkeypatch.setattr(session, stage, fail)
    with pytest.raises(error, match="planted"):
        _preflight(trainer)
    assert differences(before, state_of(trainer)) == []


class _TornOptimizer(torch.optim.SGD):
    """Fails when half of the parameters have been updated."""

    steps = 0

    def step(self, closure=None):
        super().step(closure)
        type(self).steps += 1
        if type(self).steps == 3:
            raise RuntimeError("planted in the update")


def test_a_fault_within_an_update_leaves_no_trace(tmp_path) -> None:
    model = bert()
    optimizer = _TornOptimizer(model.parameters(), lr=0.1, momentum=0.9)
    trainer = bert_trainer(tmp_path, model=model, optimizers=(optimizer, None))
    before = state_of(trainer)
    with pytest.raises(RuntimeError, match="planted in the update"):
        _preflight(trainer)
    assert differences(before, state_of(trainer)) == []


def test_the_run_after_a_failed_preflight_is_bit_identical(tmp_path) -> None:
    trainer = bert_trainer(tmp_path / "after", kind=FaultyTrainer)
    _with_fault(Fault("after training_step", 3, torch.OutOfMemoryError("planted")))
    with pytest.raises(torch.OutOfMemoryError, match="planted"):
        _preflight(trainer)
    _with_fault(Fault())
    run = trained(trainer)
    assert run == trained(bert_trainer(tmp_path / "without", kind=FaultyTrainer))
