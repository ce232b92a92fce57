"""Signals of a frozen model: hand-computed values, and no trace on the model."""

from __future__ import annotations

import copy
import math
import random

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from hf_ftrisk.signals.deadline import Deadline
from hf_ftrisk.signals.model.compatibility import (
    capacity_signals,
    compatibility_signals,
    zero_shot_signals,
)
from hf_ftrisk.signals.model.frozen import frozen
from hf_ftrisk.signals.model.gradients import Gradients, batch_gradients, gradient_signals
from hf_ftrisk.signals.model.representation import represented
from tests.signals.tiny import VOCABULARY, bert, classified_rows, llama, prompted_rows


def batches_of(rows, size=4):
    return [
        {name: torch.tensor([row[name] for row in rows[i : i + size]]) for name in rows[0]}
        for i in range(0, len(rows), size)
    ]


def plain(vectors, rows=4.0):
    n_batches, n_dims = vectors.shape
    ones = torch.ones(n_dims, dtype=torch.float64)
    return Gradients(vectors.double(), ones, torch.full((n_batches,), rows, dtype=torch.float64))


class Line(nn.Module):
    """Prediction w x with squared error: gradients by hand."""

    def __init__(self, w: float = 0.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w]))

    def forward(self, x, y):
        return {"loss": ((self.w * x - y) ** 2).mean()}


def points(*pairs):
    return {"x": torch.tensor([p[0] for p in pairs]), "y": torch.tensor([p[1] for p in pairs])}


def test_zero_shot_loss_is_the_mean_over_rows_not_batches():
    batches = [points((1.0, 2.0)), points((1.0, 1.0), (1.0, 1.0), (1.0, 1.0))]
    signals = zero_shot_signals(Line(), batches)
    assert signals["zero_shot_loss"] == pytest.approx((4.0 + 3 * 1.0) / 4)
    # 1 row at 2.25 from the mean, 3 rows at 0.75, one degree of freedom
    assert signals["zero_shot_loss_std"] == pytest.approx(math.sqrt(2.25**2 + 3 * 0.75**2))


def test_zero_shot_accuracy_and_uniform_loss_of_a_constant_classifier():
    model = bert(num_labels=4)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    signals = zero_shot_signals(model, batches_of(classified_rows(8)))
    assert signals["zero_shot_accuracy"] == 0.5
    assert signals["uniform_loss"] == pytest.approx(math.log(4))
    norm = math.log(3 + math.e)
    assert signals["zero_shot_loss"] == pytest.approx(0.5 * norm + 0.5 * (norm - 1), rel=1e-5)


def test_perplexity_of_a_uniform_language_model_is_its_vocabulary():
    model = llama()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    signals = zero_shot_signals(model, batches_of(prompted_rows(8)))
    assert signals["perplexity"] == pytest.approx(VOCABULARY, rel=1e-4)


def test_perplexity_counts_scored_tokens():
    model = llama()
    rows = prompted_rows(2)
    batches = [*batches_of(rows[:1], 1), *batches_of(rows[1:], 1)]
    batches[0]["labels"][:, :7] = -100  # one scored token against five
    with torch.no_grad():
        losses = [float(model(**batch).loss) for batch in batches]
    expected = math.exp((losses[0] * 1 + losses[1] * 5) / 6)
    assert zero_shot_signals(model, batches)["perplexity"] == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_backward():
    model = bert().eval()
    batch = batches_of(classified_rows(4))[0]
    model(**batch).loss.backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    model.zero_grad()
    gradients = batch_gradients(model, [batch])
    assert torch.allclose(gradients.vectors[0], expected.double(), atol=1e-6)
    assert bool((gradients.weights == 1.0).all())


def test_gradient_signals_by_hand():
    # d/dw (w x - y)^2 at w = 0 is -2 x y: batch gradients -2 and -6, evaluation -4
    train = batch_gradients(Line(), [points((1.0, 1.0)), points((1.0, 3.0))])
    held_out = batch_gradients(Line(), [points((1.0, 2.0))])
    signals = gradient_signals(train, held_out, 1.0, learning_rate=0.1, update="gradient")
    assert signals["gradient_norm"] == pytest.approx(4.0)
    # variance of a batch's gradient 8, |G|^2 = 16 - 8/2 = 12
    assert signals["gradient_snr"] == pytest.approx(12 / 8)
    assert signals["noise_scale"] == pytest.approx(8 / 12)
    assert signals["gradient_consistency"] == pytest.approx(1.0)
    assert signals["train_eval_gradient_cosine"] == pytest.approx(1.0)
    assert signals["predicted_gain"] == pytest.approx(0.1 * 16)
    adam = gradient_signals(train, held_out, 1.0, learning_rate=0.1, update="sign")
    assert adam["predicted_gain"] == pytest.approx(0.1 * 4)


def test_predicted_gain_is_the_drop_of_the_loss_for_a_small_step():
    batch, eta = points((1.0, 1.0), (2.0, 1.0)), 1e-4
    gradients = batch_gradients(Line(), [batch])
    signals = gradient_signals(gradients, gradients, 2.0, learning_rate=eta, update="gradient")
    stepped = Line(-eta * float(gradients.vectors[0, 0]))
    drop = (Line()(**batch)["loss"] - stepped(**batch)["loss"]).item()
    assert signals["predicted_gain"] == pytest.approx(drop, rel=1e-3)


def test_opposite_batches_have_no_consistency_and_no_noise_scale():
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    signals = gradient_signals(plain(vectors), None, 4.0)
    assert signals["gradient_consistency"] == pytest.approx(-1.0)
    assert signals["gradient_snr"] == pytest.approx(-0.5)  # -1/n_batches: no signal at all
    assert "noise_scale" not in signals


def test_noise_scale_recovers_a_known_gradient_and_covariance():
    generator = torch.Generator().manual_seed(0)
    n_batches, rows, dims = 400, 8, 50
    mean = torch.full((dims,), 0.2)
    noise = torch.randn(n_batches, rows, dims, generator=generator).mean(dim=1)
    signals = gradient_signals(plain(mean + noise, float(rows)), None, float(rows))
    # tr(cov of a row) = 50, |G|^2 = 2
    assert signals["noise_scale"] == pytest.approx(25.0, rel=0.1)


def test_thinned_gradients_estimate_the_same_quantities():
    rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 1))
    batches = [{"x": torch.randn(4, 60, generator=rng)} for _ in range(4)]

    def loss(model, batch):
        return model(batch["x"]).pow(2).mean()

    whole = gradient_signals(batch_gradients(model, batches, loss), None, 4.0)
    thinned = batch_gradients(model, batches, loss, max_coordinates=1000)
    thin = gradient_signals(thinned, None, 4.0)
    assert thinned.vectors.shape == (4, 1000)
    assert float(thinned.weights.sum()) == pytest.approx(60 * 50 + 50 + 50 + 1)
    assert thin["gradient_norm"] == pytest.approx(whole["gradient_norm"], rel=0.1)
    assert thin["gradient_snr"] == pytest.approx(whole["gradient_snr"], rel=0.2)
    assert thin["gradient_consistency"] == pytest.approx(whole["gradient_consistency"], abs=0.05)


def test_features_are_means_over_tokens_without_padding():
    model = bert()
    row = classified_rows(1)[0]
    padded = {
        "input_ids": [*row["input_ids"], 0, 0],
        "attention_mask": [*row["attention_mask"], 0, 0],
        "labels": row["labels"],
    }
    with frozen(model):
        plain = represented(model, batches_of([row]), 8)
        longer = represented(model, batches_of([padded]), 8)
    assert plain.pooled.shape == (1, 16)
    assert plain.classes.tolist() == [0]
    assert np.allclose(plain.pooled, longer.pooled, atol=1e-5)


def test_capacity_of_a_lora():
    model = get_peft_model(llama(), LoraConfig(r=3, target_modules=["q_proj"]))
    signals = capacity_signals(model, train_tokens=960.0)
    assert signals["lora_rank"] == 3.0
    assert signals["trainable_parameters"] == 3 * (16 + 16)
    assert signals["lora_parameters_per_token"] == pytest.approx(96 / 960)
    assert signals["trainable_share"] == pytest.approx(
        96 / sum(p.numel() for p in model.parameters())
    )


def test_a_model_without_trainable_parameters_has_no_gradient_signals():
    model = bert()
    model.requires_grad_(False)
    batches = batches_of(classified_rows(8))
    signals = compatibility_signals(model, batches, batches)
    assert signals["trainable_parameters"] == 0.0
    assert "gradient_norm" not in signals
    assert "linear_probe_accuracy" in signals


def test_a_learnable_task_gets_a_better_probe_than_a_random_one():
    rows, held_out = classified_rows(64), classified_rows(64, seed=1)
    rng = np.random.default_rng(0)
    shuffled = [row | {"labels": int(rng.integers(2))} for row in rows]
    learnable = compatibility_signals(bert(), batches_of(rows), batches_of(held_out))
    random_labels = compatibility_signals(bert(), batches_of(shuffled), batches_of(held_out))
    assert learnable["linear_probe_accuracy"] > 0.9
    assert learnable["log_me"] > random_labels["log_me"]
    assert learnable["h_score"] > random_labels["h_score"]


def test_every_signal_is_finite_and_named():
    batches = batches_of(classified_rows(16))
    signals = compatibility_signals(bert(), batches, batches, learning_rate=1e-4)
    assert all(isinstance(v, float) and math.isfinite(v) for v in signals.values())
    assert {"log_me", "h_score", "predicted_gain", "gradient_snr", "zero_shot_loss"} <= set(signals)


class Normed(nn.Module):
    """BatchNorm and dropout: a forward pass in training mode would move buffers and generators."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.line = nn.Linear(4, 1)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        torch.rand(1), random.random(), np.random.rand()
        return {"loss": self.line(self.drop(self.norm(x))).pow(2).mean()}


def test_the_model_and_the_generators_are_left_untouched():
    model = Normed()
    model.norm.eval()  # a frozen part inside a model that trains
    marked = torch.ones_like(model.line.weight)
    model.line.weight.grad = marked
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    batches = [{"x": torch.randn(4, 4, generator=torch.Generator().manual_seed(i))} for i in (0, 1)]
    signals = compatibility_signals(model, batches, batches)
    assert signals["gradient_norm"] > 0
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert (model.training, model.norm.training, model.drop.training) == (True, False, True)
    assert model.line.weight.grad is marked
    assert torch.equal(marked, torch.ones_like(marked))
    assert model.line.bias.grad is None


def test_the_model_is_restored_when_its_loss_fails():
    model = Normed()
    state = torch.get_rng_state()

    def broken(model, batch):
        model(**batch)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        compatibility_signals(
            model, [{"x": torch.ones(4, 4)}], [{"x": torch.ones(4, 4)}], loss=broken
        )
    assert model.training
    assert float(model.calls) == 0.0
    assert torch.equal(torch.get_rng_state(), state)


def test_ranks_agree_on_the_deadline():
    asked = []

    def agree(late: bool) -> bool:
        asked.append(late)
        return True  # another rank was late

    assert Deadline(seconds=1000.0, agree=agree).passed()
    assert asked == [False]
