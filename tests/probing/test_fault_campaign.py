"""An error at every stage of a pre-flight: it comes through, and everything is as before."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
import torch

from hf_ftrisk.probing import runner, session
from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.probing.trainer import probe
from hf_ftrisk.probing.trainer import workload as trainer_workload
from hf_ftrisk.signals.steps import StepMeter
from hf_ftrisk.trainers import state as snapshot
from hf_ftrisk.trainers.state import TensorSnapshot
from tests.probing.faults import METHODS, Fault, FaultyTrainer, even_clock
from tests.probing.models import bert, bert_trainer, lora, trained
from tests.probing.traces import differences, state_of

_ERRORS = (RuntimeError, torch.OutOfMemoryError, KeyboardInterrupt)


def _preflight(trainer):
    # Seconds for all batches of the signals, on a busy machine too: calls are counted.
    return preflight(
        trainer, goal="eval_accuracy>=0.8", budget=0.9, seeds=2, depths=[2, 4], signal_seconds=60
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


# Where each stage begins, and what it does on the way.
_STAGES = (
    (trainer_workload, "deviations"),
    (trainer_workload, "trainer_facts"),
    (trainer_workload, "check_wiring"),
    (trainer_workload, "trainer_signals"),
    (trainer_workload, "shadow_copy"),
    (trainer_workload, "redraw_fresh"),
    (trainer_workload, "eval_sample"),
    (snapshot, "keep_tensor"),
    (probe, "peak_memory"),
    (StepMeter, "after_step"),
    (session, "make_plan"),
    (session, "known_baseline"),
    (session, "summarize"),
    (runner, "preflight_report"),
)


@pytest.mark.parametrize(
    ("where", "stage"), _STAGES, ids=lambda part: getattr(part, "__name__", part)
)
@pytest.mark.parametrize("error", _ERRORS)
def test_a_fault_of_ours_leaves_no_trace(subject, monkeypatch, where, stage, error) -> None:
    trainer, before, _ = subject
    _with_fault(Fault())

    def fail(*args, **kwargs):
        raise error("planted")

    monkeypatch.setattr(where, stage, fail)
    with pytest.raises(error, match="planted"):
        _preflight(trainer)
    assert differences(before, state_of(trainer)) == []


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal, also where the tests run in the background and it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_at_any_time_leaves_no_trace(subject) -> None:
    """A real signal, at moments spread over a whole pre-flight, putting back included."""
    trainer, before, _ = subject
    _with_fault(Fault())
    start = time.perf_counter()
    _preflight(trainer)
    whole = time.perf_counter() - start
    handler = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    interrupted = 0
    try:
        for share in np.linspace(0.02, 1.0, 25):
            signal.setitimer(signal.ITIMER_REAL, share * whole)
            try:
                _preflight(trainer)
            except KeyboardInterrupt:
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert differences(before, state_of(trainer)) == [], share
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert interrupted > 10


def test_ctrl_c_where_no_grad_ends_does_not_leave_gradients_off(subject, monkeypatch) -> None:
    trainer, before, _ = subject
    _with_fault(Fault())
    leave = torch.no_grad.__exit__
    left: list[bool] = []

    def interrupted_once(context, *error) -> None:
        left.append(torch.is_grad_enabled())
        if len(left) == 1:
            raise KeyboardInterrupt
        leave(context, *error)

    monkeypatch.setattr(torch.no_grad, "__exit__", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        _preflight(trainer)
    after = differences(before, state_of(trainer))
    torch.set_grad_enabled(True)
    assert left[0] is False
    assert after == []


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_it_is_put_back_waits_until_it_has_been(subject, monkeypatch) -> None:
    trainer, before, _ = subject
    _with_fault(Fault())
    put_back = TensorSnapshot.restore

    def interrupted(kept):
        signal.raise_signal(signal.SIGINT)
        put_back(kept)

    close = trainer_workload.TrainerWorkload.close

    def closing(workload):
        monkeypatch.setattr(TensorSnapshot, "restore", interrupted)
        close(workload)

    monkeypatch.setattr(trainer_workload.TrainerWorkload, "close", closing)
    with pytest.raises(KeyboardInterrupt):
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
