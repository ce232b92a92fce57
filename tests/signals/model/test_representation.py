"""What the head of a model is given, found by hooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

from hf_ftrisk.signals.model.frozen import frozen
from hf_ftrisk.signals.model.representation import represented
from tests.signals.tiny import VOCABULARY, bert, llama

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
TEXT = {"vocab_size": VOCABULARY, "max_position_embeddings": 40, **SIZES}


def text_batch(labels: torch.Tensor, tokens: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, VOCABULARY, (labels.shape[0], tokens), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def seen(model, *batches):
    with frozen(model):
        return represented(model, batches, 100)


def test_the_head_of_a_classifier_and_the_mean_over_tokens():
    model = bert(num_labels=3)
    batch = text_batch(torch.tensor([0, 2, 1, 1]))
    inputs = seen(model, batch)
    given: list[torch.Tensor] = []
    hook = model.classifier.register_forward_hook(lambda _, args, __: given.append(args[0]))
    with frozen(model), torch.no_grad():
        hidden = model(**batch, output_hidden_states=True).hidden_states[-1]
    hook.remove()
    assert inputs.labeled.kind == "class"
    assert inputs.labeled.targets.tolist() == [0, 2, 1, 1]
    assert np.allclose(inputs.labeled.features[:, :16], hidden.mean(dim=1).numpy(), atol=1e-5)
    assert np.allclose(inputs.labeled.features[:, 16:], given[0].detach().numpy(), atol=1e-5)


def test_a_body_that_does_not_train_is_seen_as_the_head_sees_it():
    model = bert()
    model.bert.requires_grad_(False)
    assert seen(model, text_batch(torch.tensor([0, 1]))).labeled.features.shape == (2, 16)


@pytest.mark.parametrize(
    "model",
    [
        RobertaForSequenceClassification(RobertaConfig(**TEXT, pad_token_id=0)),
        LlamaForSequenceClassification(
            LlamaConfig(**TEXT, num_key_value_heads=2, pad_token_id=0, num_labels=2)
        ),
    ],
    ids=["a head that picks its token", "a score of every token"],
)
def test_heads_of_other_kinds(model):
    inputs = seen(model, text_batch(torch.tensor([0, 1, 1])))
    assert inputs.labeled.features.shape == (3, 32)


def test_images():
    model = ViTForImageClassification(
        ViTConfig(**SIZES, image_size=8, patch_size=4, num_channels=1)
    )
    batch = {"pixel_values": torch.rand(4, 1, 8, 8), "labels": torch.tensor([0, 1, 0, 1])}
    inputs = seen(model, batch)
    assert inputs.labeled.features.shape[0] == 4
    assert inputs.classes.tolist() == [0, 1, 0, 1]


def test_tokens_keep_their_rows_and_leave_out_what_is_not_labeled():
    model = BertForTokenClassification(BertConfig(**TEXT, num_labels=5))
    labels = torch.tensor([[-100, 1, 2, -100, -100, -100], [0, 1, 2, 3, 4, 0]])
    labeled = seen(model, text_batch(labels)).labeled
    assert labeled.kind == "token"
    assert labeled.groups.tolist() == [0, 0, 1, 1, 1, 1]
    assert labeled.targets.tolist() == [1, 2, 0, 2, 3, 0]


def test_numbers_and_several_labels_a_row():
    regression = BertForSequenceClassification(BertConfig(**TEXT, num_labels=1))
    assert seen(regression, text_batch(torch.tensor([0.5, 2.0]))).labeled.kind == "number"
    several = bert(num_labels=3)
    labels = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert seen(several, text_batch(labels)).labeled.kind == "multilabel"


def test_language_models_and_others_have_no_head_to_probe():
    batch = text_batch(torch.tensor([0, 1]))
    batch["labels"] = batch["input_ids"]
    assert seen(llama(), batch).labeled is None
    assert seen(torch.nn.Linear(3, 3), batch).labeled is None


def test_nothing_stays_hooked():
    def hooks() -> int:
        return sum(len(module._forward_hooks) for module in model.modules())

    model, batch = bert(), text_batch(torch.tensor([0, 1]))
    model(**batch, output_hidden_states=True)  # transformers hooks its layers to collect them
    before = hooks()
    seen(model, batch)
    assert hooks() == before


def test_a_model_that_generates_is_not_asked_for_a_head():
    config = T5Config(
        vocab_size=12,
        d_model=8,
        d_kv=4,
        d_ff=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    # No decoder inputs: the model makes them from the labels, and fails without these.
    batch = {"input_ids": torch.tensor([[3, 4]]), "labels": torch.tensor([[4, 1]])}
    seen = represented(T5ForConditionalGeneration(config), [batch], 4)
    assert seen.labeled is None
