"""Faults planted in real Trainers, found before a step is run."""

from __future__ import annotations

import copy

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import BertForMaskedLM, DataCollatorForLanguageModeling, Trainer

from hf_ftrisk.diagnoses.wiring import check_wiring
from tests.signals.tiny import (
    VOCABULARY,
    arguments,
    bert,
    classified_rows,
    llama,
    prompted_rows,
    tokenizer,
    trainer_of,
)


def names(faults):
    return [fault.name for fault in faults]


def only(faults):
    assert len(faults) == 1, faults
    return faults[0]


def test_a_sound_trainer_has_no_faults(tmp_path):
    assert check_wiring(trainer_of(bert(), classified_rows(16), tmp_path)) == ()


def test_a_sound_lora_has_no_faults(tmp_path):
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    assert check_wiring(trainer_of(model, prompted_rows(16), tmp_path)) == ()


def test_nothing_trainable_is_fatal(tmp_path):
    model = bert()
    model.requires_grad_(False)
    fault = only(check_wiring(trainer_of(model, classified_rows(16), tmp_path)))
    assert (fault.name, fault.severity) == ("no_trainable_parameter", "fatal")
    assert "get_peft_model" in fault.advice


def test_an_adapter_in_inference_mode_is_named_as_the_cause(tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj"], inference_mode=True)
    model = get_peft_model(llama(), config)
    fault = only(check_wiring(trainer_of(model, prompted_rows(16), tmp_path)))
    assert fault.name == "no_trainable_parameter"
    assert "is_trainable" in fault.advice


def test_an_adapter_missing_from_the_optimizer_is_fatal(tmp_path):
    base = llama()
    optimizer = torch.optim.SGD(base.parameters(), lr=0.1)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    trainer = trainer_of(model, prompted_rows(16), tmp_path, optimizers=(optimizer, None))
    fault = only(check_wiring(trainer))
    assert (fault.name, fault.severity) == ("parameters_not_in_optimizer", "fatal")
    assert fault.evidence["missing_share"] == 1.0


def missing_from(optimizer, model, tmp_path):
    """The one fault of a classifier's Trainer with this optimizer."""
    trainer = trainer_of(model, classified_rows(16), tmp_path, optimizers=(optimizer, None))
    fault = only(check_wiring(trainer))
    assert fault.name == "parameters_not_in_optimizer"
    assert "leave it to the Trainer" in fault.advice
    return fault


def test_a_head_replaced_after_the_optimizer_was_built_is_fatal(tmp_path):
    model = bert()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.classifier = torch.nn.Linear(16, 2)
    fault = missing_from(optimizer, model, tmp_path)
    assert fault.severity == "fatal"
    assert (fault.evidence["missing"], fault.evidence["not_of_the_model"]) == (2.0, 2.0)
    assert "classifier.weight" in fault.message
    assert "2 others that the model does not have" in fault.message


def test_another_models_optimizer_is_fatal(tmp_path):
    optimizer = torch.optim.SGD(bert().parameters(), lr=0.1)
    assert missing_from(optimizer, bert(), tmp_path).severity == "fatal"


def test_a_head_that_was_never_given_to_the_optimizer_is_fatal(tmp_path):
    model = bert()
    optimizer = torch.optim.SGD(model.bert.parameters(), lr=0.1)
    assert missing_from(optimizer, model, tmp_path).severity == "fatal"


def test_a_body_left_out_of_the_optimizer_may_be_meant_and_is_a_warning(tmp_path):
    model = bert()
    optimizer = torch.optim.SGD(model.classifier.parameters(), lr=0.1)
    fault = missing_from(optimizer, model, tmp_path)
    assert fault.severity == "warning"
    assert "requires_grad_(False)" in fault.advice


def test_all_labels_masked_is_fatal(tmp_path):
    rows = [row | {"labels": [-100] * 8} for row in prompted_rows(16)]
    faults = check_wiring(trainer_of(llama(), rows, tmp_path))
    assert "all_labels_masked" in names(faults)
    fault = next(fault for fault in faults if fault.name == "all_labels_masked")
    assert fault.severity == "fatal"
    assert fault.evidence["all_masked_share"] == 1.0


def test_some_rows_masked_is_a_warning(tmp_path):
    rows = prompted_rows(16)
    rows[:4] = [row | {"labels": [-100] * 8} for row in rows[:4]]
    fault = only(check_wiring(trainer_of(llama(), rows, tmp_path)))
    assert (fault.name, fault.severity) == ("all_labels_masked", "warning")
    assert fault.evidence["all_masked_share"] == 0.25


def masked_language_model(folder, probability):
    rows = [{"input_ids": row["input_ids"]} for row in prompted_rows(64, prompt=0)]
    words = tokenizer()
    words.mask_token = "<unk>"
    collator = DataCollatorForLanguageModeling(words, mlm_probability=probability, seed=0)
    return trainer_of(BertForMaskedLM(bert().config), rows, folder, data_collator=collator)


def test_rows_whose_masks_are_drawn_may_go_without_one(tmp_path):
    assert check_wiring(masked_language_model(tmp_path, 0.15)) == ()


def test_masks_that_are_drawn_nowhere_are_fatal(tmp_path):
    faults = check_wiring(masked_language_model(tmp_path, 0.0))
    fault = next(fault for fault in faults if fault.name == "all_labels_masked")
    assert fault.severity == "fatal"
    assert "mlm_probability" in fault.advice


@pytest.mark.parametrize(("label", "advice"), [(2, "num_labels=3"), (-1, "-100")])
def test_labels_outside_the_head_are_fatal_and_the_model_is_not_run(tmp_path, label, advice):
    rows = classified_rows(16)
    rows[5]["labels"] = label
    fault = only(check_wiring(trainer_of(bert(num_labels=2), rows, tmp_path)))
    assert (fault.name, fault.severity) == ("labels_out_of_range", "fatal")
    assert advice in fault.advice


def test_tokens_the_model_does_not_embed_are_fatal(tmp_path):
    rows = classified_rows(16)
    rows[3]["input_ids"][0] = VOCABULARY
    fault = only(check_wiring(trainer_of(bert(), rows, tmp_path)))
    assert (fault.name, fault.severity) == ("tokens_out_of_range", "fatal")


@pytest.mark.parametrize("which", ["train", "eval"])
def test_an_empty_set_is_fatal(tmp_path, which):
    trainer = trainer_of(bert(), classified_rows(16), tmp_path)
    setattr(trainer, f"{which}_dataset", [])
    fault = only(check_wiring(trainer))
    assert (fault.name, fault.severity) == (f"empty_{which}_set", "fatal")


def test_one_empty_set_among_several_is_found(tmp_path):
    rows = classified_rows(16)
    trainer = trainer_of(bert(), rows, tmp_path, eval_dataset={"a": rows, "b": []})
    assert only(check_wiring(trainer)).name == "empty_eval_set"


@pytest.mark.parametrize(("which", "severity"), [("train", "fatal"), ("eval", "warning")])
def test_a_missing_set_is_named(tmp_path, which, severity):
    trainer = trainer_of(bert(), classified_rows(16), tmp_path)
    setattr(trainer, f"{which}_dataset", None)
    fault = only(check_wiring(trainer))
    assert (fault.name, fault.severity) == (f"no_{which}_set", severity)


def test_a_trainer_with_loaders_of_its_own_needs_no_sets(tmp_path):
    class OwnLoaders(Trainer):
        def get_train_dataloader(self):
            return []

        def get_eval_dataloader(self, eval_dataset=None):
            return []

    assert check_wiring(OwnLoaders(model=bert(), args=arguments(tmp_path))) == ()


def test_a_loss_that_is_not_finite_at_the_start_is_fatal(tmp_path):
    model = bert()
    with torch.no_grad():
        model.classifier.bias[0] = float("nan")
    fault = only(check_wiring(trainer_of(model, classified_rows(16), tmp_path)))
    assert (fault.name, fault.severity) == ("non_finite_loss", "fatal")


def answers(n_cut: int, eos: int = 3):
    """20 prompted rows, `n_cut` of them cut at 8 tokens, the rest shorter and ended by `eos`."""
    rows = prompted_rows(20)
    for row in rows[n_cut:]:
        for name in ("input_ids", "labels"):
            row[name] = [*row[name][:6], eos]
        row["attention_mask"] = [1] * 7
    return rows


class Tokenizer:
    """The two attributes the check reads of a tokenizer."""

    model_max_length = 8
    eos_token_id = 3


def pad(features):
    length = max(len(row["input_ids"]) for row in features)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {
        name: torch.tensor([row[name] + [value] * (length - len(row[name])) for row in features])
        for name, value in fill.items()
    }


@pytest.mark.parametrize(("n_cut", "severity"), [(0, None), (4, "warning"), (16, "fatal")])
def test_answers_cut_by_truncation(tmp_path, n_cut, severity):
    trainer = trainer_of(llama(), answers(n_cut), tmp_path, data_collator=pad)
    trainer.processing_class = Tokenizer()
    faults = check_wiring(trainer)
    if severity is None:
        assert faults == ()
    else:
        fault = only(faults)
        assert (fault.name, fault.severity) == ("answers_cut", severity)
        assert fault.evidence["cut_share"] == pytest.approx(n_cut / 20)


def test_the_check_leaves_the_trainer_as_it_was(tmp_path):
    trainer = trainer_of(bert(), classified_rows(16), tmp_path)
    trainer.model.train()
    weights = copy.deepcopy(trainer.model.state_dict())
    state = torch.get_rng_state()
    settings = {k: v for k, v in vars(trainer).items() if not k.startswith("_")}
    check_wiring(trainer)
    assert torch.equal(torch.get_rng_state(), state)
    assert trainer.model.training
    assert all(torch.equal(weights[k], v) for k, v in trainer.model.state_dict().items())
    assert all(vars(trainer)[k] is v for k, v in settings.items())
    assert trainer.accelerator._dataloaders == []


# --- near misses: what looks like a fault and is none --------------------------------------------


def test_a_rare_class_outside_the_head_is_found_in_the_whole_column(tmp_path):
    rows = classified_rows(600)
    rows[577]["labels"] = 2
    trainer = trainer_of(bert(num_labels=2), Dataset.from_list(rows), tmp_path)
    fault = only(check_wiring(trainer, max_rows=8))
    assert fault.name == "labels_out_of_range"
    assert "1 of 600" in fault.message


@pytest.mark.parametrize("label", [1, -100], ids=["last class", "ignored"])
def test_labels_at_the_edge_are_sound(tmp_path, label):
    rows = classified_rows(16)
    rows[5]["labels"] = label
    assert check_wiring(trainer_of(bert(num_labels=2), rows, tmp_path)) == ()


def test_a_regressions_targets_have_no_range(tmp_path):
    rows = [row | {"labels": -7.5} for row in classified_rows(16)]
    assert check_wiring(trainer_of(bert(num_labels=1), rows, tmp_path)) == ()


def test_the_last_token_of_the_vocabulary_is_sound(tmp_path):
    rows = classified_rows(16)
    rows[3]["input_ids"][0] = VOCABULARY - 1
    assert check_wiring(trainer_of(bert(), rows, tmp_path)) == ()


def test_one_trainable_tensor_is_enough(tmp_path):
    model = bert()
    model.requires_grad_(False)
    model.classifier.bias.requires_grad_(True)
    assert check_wiring(trainer_of(model, classified_rows(16), tmp_path)) == ()


def test_an_optimizer_that_holds_the_adapters_alone_is_sound(tmp_path):
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    trainer = trainer_of(model, prompted_rows(16), tmp_path, optimizers=(optimizer, None))
    assert check_wiring(trainer) == ()


def sound(optimizer, model, tmp_path):
    trainer = trainer_of(model, classified_rows(16), tmp_path, optimizers=(optimizer, None))
    return check_wiring(trainer) == ()


def test_a_frozen_body_need_not_be_in_the_optimizer(tmp_path):
    model = bert()
    model.bert.requires_grad_(False)
    assert sound(torch.optim.SGD(model.classifier.parameters(), lr=0.1), model, tmp_path)


def test_parameters_in_several_groups_are_all_held(tmp_path):
    model = bert()
    groups = [
        {"params": model.classifier.parameters(), "lr": 0.1},
        {"params": [p for p in model.bert.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in model.bert.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    assert sound(torch.optim.AdamW(groups, lr=0.01), model, tmp_path)


def test_frozen_parameters_in_the_optimizer_are_no_fault(tmp_path):
    model = bert()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.bert.requires_grad_(False)
    assert sound(optimizer, model, tmp_path)


def test_resized_embeddings_are_the_same_parameter(tmp_path):
    model = bert()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.resize_token_embeddings(VOCABULARY + 8)
    assert sound(optimizer, model, tmp_path)


def test_an_optimizer_may_hold_more_than_the_model(tmp_path):
    model, own = bert(), torch.nn.Parameter(torch.zeros(1))  # such as a loss's temperature
    assert sound(torch.optim.SGD([*model.parameters(), own], lr=0.1), model, tmp_path)


def test_a_language_models_tied_head_is_held_by_its_embeddings(tmp_path):
    config = llama().config
    config.tie_word_embeddings = True
    model = type(llama())(config)
    optimizer = torch.optim.SGD(model.model.parameters(), lr=0.1)
    trainer = trainer_of(model, prompted_rows(16), tmp_path, optimizers=(optimizer, None))
    assert check_wiring(trainer) == ()


def test_one_masked_row_in_many_is_no_fault(tmp_path):
    rows = prompted_rows(32)
    rows[0] = rows[0] | {"labels": [-100] * 8}
    assert check_wiring(trainer_of(llama(), rows, tmp_path)) == ()


def test_a_great_loss_is_finite(tmp_path):
    model = bert()
    with torch.no_grad():
        model.classifier.bias[0] = 1e30
    assert check_wiring(trainer_of(model, classified_rows(16), tmp_path)) == ()


def test_one_evaluation_row_is_a_set(tmp_path):
    rows = classified_rows(16)
    assert check_wiring(trainer_of(bert(), rows, tmp_path, eval_dataset=rows[:1])) == ()


def test_rows_that_fill_the_limit_and_end_are_not_cut(tmp_path):
    rows = answers(16)
    for row in rows[:16]:
        row["input_ids"] = row["labels"] = [*row["input_ids"][:7], 3]
    trainer = trainer_of(llama(), rows, tmp_path, data_collator=pad)
    trainer.processing_class = Tokenizer()
    assert check_wiring(trainer) == ()


def test_rows_that_are_all_of_one_length_are_not_cut(tmp_path):
    trainer = trainer_of(llama(), prompted_rows(20), tmp_path, data_collator=pad)
    trainer.processing_class = Tokenizer()
    assert check_wiring(trainer) == ()
