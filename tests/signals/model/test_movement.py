"""First-order reach of a schedule."""

from __future__ import annotations

import pytest
import torch
from transformers import Trainer

from hf_ftrisk.signals.collect import first_update, planned_rate_sum, trainer_signals
from hf_ftrisk.signals.model.movement import PlannedSteps, agreed_gain, movement_signals, update_of
from tests.signals.tiny import arguments, bert, classified_rows, trainer_of

RATE_SUM = 4e-4


def test_adam_moves_by_the_one_norm_and_sgd_by_the_squared_norm():
    adam = movement_signals(50.0, 2.0, PlannedSteps(RATE_SUM, "sign"))
    assert adam["schedule_gain"] == pytest.approx(0.02)
    sgd = movement_signals(50.0, 2.0, PlannedSteps(RATE_SUM, "gradient"))
    assert sgd["schedule_gain"] == pytest.approx(1.6e-3)


def test_sgd_is_clipped_and_carried_on_by_momentum():
    planned = PlannedSteps(RATE_SUM, "gradient", max_grad_norm=1.0, momentum=0.9)
    clipped = movement_signals(50.0, 2.0, planned)
    assert clipped["schedule_gain"] == pytest.approx(4e-4 * 1.0 * 2.0 / 0.1)


def test_what_is_not_known_is_left_out():
    assert movement_signals(50.0, 2.0, PlannedSteps(None, "sign")) == {}
    assert set(movement_signals(50.0, 2.0, PlannedSteps(RATE_SUM, None))) == {"schedule_rates"}


def test_of_a_gradient_that_batches_half_agree_on_some_is_noise():
    static = {"schedule_gain": 2.0, "gradient_l1": 10.0, "gradient_l1_agreed": 2.5}
    assert agreed_gain(static) == pytest.approx(1.0)  # 2 times the root of a quarter
    assert agreed_gain({"schedule_gain": 2.0}) == 2.0
    assert agreed_gain({}) is None


@pytest.mark.parametrize(
    ("name", "update"),
    [
        ("adamw_torch_fused", "sign"),
        ("AdamW", "sign"),
        ("adafactor", "sign"),
        ("lion_32bit", "sign"),
        ("sgd", "gradient"),
        ("galore_adamw", None),
        ("schedule_free_adamw", None),
        ("adagrad", None),
        ("Muon", None),
    ],
)
def test_what_an_optimizer_follows(name, update):
    assert update_of(name) == update


def test_one_small_adam_step_lowers_the_loss_by_what_was_foretold(tmp_path):
    model, rows = bert(), classified_rows(30)  # batches of 2, 4, 8, 16
    args = arguments(tmp_path, per_device_train_batch_size=16)
    trainer = Trainer(model=model, args=args, train_dataset=rows)
    signals = trainer_signals(trainer, seconds=None, summed_rates=1e-4)
    assert signals["gradient_l1_agreed"] <= signals["gradient_l1"] * (1 + 1e-6)
    batch = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
    model.eval()
    before = model(**batch).loss
    before.backward()
    torch.optim.Adam(model.parameters(), lr=1e-4).step()
    fall = float(before.detach()) - float(model(**batch).loss.detach())
    assert fall == pytest.approx(signals["schedule_gain"], rel=0.05)


def test_the_summed_rates_are_those_of_the_arguments(tmp_path):
    trainer = trainer_of(bert(), classified_rows(16), tmp_path)
    trainer.args = arguments(
        tmp_path, max_steps=-1, num_train_epochs=3, learning_rate=1e-3, warmup_steps=2
    )
    rising, falling = [0.0, 0.5], [1 - step / 10 for step in range(10)]
    assert planned_rate_sum(trainer) == pytest.approx(1e-3 * sum(rising + falling))
    assert trainer.lr_scheduler is None


def test_the_rates_of_a_long_run_count_for_all_its_steps(tmp_path):
    args = arguments(tmp_path, max_steps=40_000, learning_rate=1e-3)
    trainer = Trainer(model=bert(), args=args, train_dataset=classified_rows(16))
    assert planned_rate_sum(trainer) == pytest.approx(1e-3 * 20_000, rel=1e-3)


def test_an_optimizer_that_was_given_says_what_it_follows(tmp_path):
    model = bert()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    trainer = trainer_of(model, classified_rows(16), tmp_path, optimizers=(optimizer, None))
    assert first_update(trainer) == "gradient"
    assert planned_rate_sum(trainer) == pytest.approx(0.5 * (1.0 + 0.75 + 0.5 + 0.25))
