"""Loss of a target after its own input and after another's."""

from __future__ import annotations

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hf_ftrisk.signals.model.frozen import frozen
from hf_ftrisk.signals.model.own_input import input_signals
from tests.signals.tiny import VOCABULARY, bert, llama

N_ROWS = 16


def copied_rows(shuffled: bool = False) -> list[dict[str, torch.Tensor]]:
    """Rows whose answer repeats their prompt's first token; one batch, padded by one token."""
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(4, VOCABULARY, (N_ROWS, 4), generator=generator)
    prompts[:, 0] = torch.arange(4, 4 + N_ROWS)
    answers = prompts[:, :1].expand(-1, 2)
    if shuffled:
        answers = answers.roll(5, dims=0)
    pad = torch.zeros(N_ROWS, 1, dtype=torch.long)
    ids = torch.cat([prompts, answers, pad], dim=1)
    labels = torch.cat([torch.full_like(prompts, -100), answers, pad - 100], dim=1)
    mask = torch.ones_like(ids)
    mask[:, -1] = 0
    return [{"input_ids": ids, "attention_mask": mask, "labels": labels}]


def copier() -> torch.nn.Module:
    model = llama()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(**copied_rows()[0]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_a_model_that_can_use_the_input_tells_shuffled_answers():
    model = copier()
    with frozen(model):
        own, shuffled = input_signals(model, copied_rows()), input_signals(model, copied_rows(True))
    assert own["input_gain"] > 1.0
    assert own["input_gain_z"] > 5.0
    assert shuffled["input_gain_z"] < 2.0
    assert own["input_gain_rows"] == N_ROWS


def test_the_gain_is_the_mean_difference_of_the_models_own_losses():
    model, (batch,) = llama(), copied_rows()
    with frozen(model), torch.no_grad():
        gain = input_signals(model, [batch])["input_gain"]
        total = 0.0
        for row in range(N_ROWS):
            other = (row + N_ROWS // 2) % N_ROWS
            for source, sign in ((other, 1.0), (row, -1.0)):
                ids = batch["input_ids"][row : row + 1, :6].clone()
                ids[:, :4] = batch["input_ids"][source : source + 1, :4]
                loss = model(input_ids=ids, labels=batch["labels"][row : row + 1, :6]).loss
                total += sign * float(loss)
    assert gain == pytest.approx(total / N_ROWS, abs=1e-5)


def test_an_encoder_decoder_is_shown_the_other_input_in_its_encoder():
    config = T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    model, (batch,) = T5ForConditionalGeneration(config), copied_rows()
    labels = batch["labels"][:, 4:6]
    with frozen(model), torch.no_grad():
        signals = input_signals(model, [{**batch, "labels": labels}])
        own = [
            float(model(input_ids=batch["input_ids"][i : i + 1, :6], labels=labels[i : i + 1]).loss)
            for i in range(N_ROWS)
        ]
        far = [(i + N_ROWS // 2) % N_ROWS for i in range(N_ROWS)]
        other = [
            float(model(input_ids=batch["input_ids"][j : j + 1, :6], labels=labels[i : i + 1]).loss)
            for i, j in enumerate(far)
        ]
    expected = (sum(other) - sum(own)) / N_ROWS
    assert signals["input_gain"] == pytest.approx(expected, abs=1e-5)


def test_text_without_a_prompt_and_classifiers_say_nothing():
    (batch,) = copied_rows()
    plain = {**batch, "labels": batch["input_ids"]}
    assert input_signals(llama(), [plain]) == {}
    assert input_signals(bert(), [{**batch, "labels": torch.zeros(N_ROWS, dtype=torch.long)}]) == {}
