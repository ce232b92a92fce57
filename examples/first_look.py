# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first look at hf_ftrisk
#
# Four things in a few minutes, on a CPU and without downloads: replay a run that is over, ask
# before a run, watch it, and read what its model card would say. The model and the data are tiny
# and built here; at the end stands what to change for yours.

# %%
# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train,plots]"]
# ///
# On Colab and Kaggle the package has to be installed first; elsewhere this cell does nothing.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("hf_ftrisk") is None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "hf-ftrisk[train,plots]"]
    subprocess.run(install, check=True)

# %% [markdown]
# ## 1. Replay a run that is over
#
# A few hundred recorded runs come with the package. With a run of your own, take
# `RunRecord.from_trainer_state("out/checkpoint-500/trainer_state.json")`.

# %%
from hf_ftrisk import Forecaster, Goal
from hf_ftrisk.reference import load_pairs

goal = Goal("eval_accuracy")
record = next(pair.run for pair in load_pairs() if pair.run.task == "trec6/minilm-3/full")
print(f"{record.task}: {record.max_steps} steps, it ended at {record.outcome(goal):.3f}")

forecaster = Forecaster.default()
for share in (0.1, 0.2, 0.3, 0.5, 0.7):
    forecast = forecaster.predict(record.prefix(share * record.max_steps), goal)
    low, high = forecast.interval(0.9)
    print(f"{100 * share:3.0f} % seen: {forecast.point:.3f}, 90 % from {low:.3f} to {high:.3f}")

# %% [markdown]
# Each line knows only what had been logged until then. (This run is one of those that the
# forecaster was fitted on, so it looks better here than on yours; the held-out figures are on the
# evidence pages.)
#
# ## 2. Ask before a run
#
# A Trainer as you would build it. The data are token rows whose label says whether the first
# token is large; one label in ten is wrong, so that nothing gets much beyond 0.9.

# %%
import numpy as np
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


def rows(count, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, 40, size=(count, 8))
    labels = ((tokens[:, 0] >= 20) ^ (rng.random(count) < 0.1)).astype(int)
    return Dataset.from_dict({"input_ids": tokens.tolist(), "labels": labels.tolist()})


def accuracy(prediction):
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"accuracy": float(right.mean())}


def build(learning_rate):
    set_seed(0)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    return Trainer(
        model=BertForSequenceClassification(BertConfig(vocab_size=40, **sizes)),
        args=TrainingArguments(
            output_dir="first-look",
            max_steps=120,
            warmup_steps=10,
            learning_rate=learning_rate,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=200,
            eval_strategy="steps",
            eval_steps=0.05,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
        ),
        train_dataset=rows(1000, seed=1),
        eval_dataset=rows(200, seed=2),
        compute_metrics=accuracy,
    )


# %%
from hf_ftrisk import preflight

target = "eval_accuracy>=0.8"
for learning_rate in (1e-7, 3e-3):
    report = preflight(build(learning_rate), goal=target, budget=0.1, seeds=1, signal_seconds=30)
    print(f"learning rate {learning_rate:g}: {report.verdict}")
    for reason in report.reasons:
        print("   ", reason)

# %% [markdown]
# A tenth of the run was trained and put back. What each part of the decision said of the last
# one:

# %%
from matplotlib import pyplot

from hf_ftrisk.policy import decision_parts
from hf_ftrisk.report.plots import plot_parts, plot_trajectory

figure, axes = pyplot.subplots(figsize=(6, 3))
plot_parts(decision_parts(report.probes[0], report.goal, report.baseline), axes)
pyplot.show()

# %% [markdown]
# ## 3. Watch it
#
# One line looks at the run as it goes. `action="warn"` says what it would do, and never stops.

# %%
from hf_ftrisk import FineTuneRiskCallback, attach_card

trainer = build(3e-3)
callback = FineTuneRiskCallback(target, action="warn").attach(trainer)
attach_card(trainer, callback)
trainer.train()
watched = callback.report
print(watched.verdict, "forecast", watched.forecast, "outcome", watched.outcome)

# %%
figure, axes = pyplot.subplots(figsize=(7, 4))
plot_trajectory(watched, axes)
pyplot.show()

# %% [markdown]
# ## 4. The card
#
# With `attach_card` the section stands in every card that the Trainer writes or pushes. Nothing
# was sent anywhere.

# %%
from pathlib import Path

trainer.create_model_card()
card = Path("first-look/README.md").read_text()
print(card[card.index("## Fine-tuning risk") :][:1500])

# %% [markdown]
# ## Yours
#
# - Replace `build` by your own Trainer, and the target by yours.
# - Keep completed runs: `FineTuneRiskCallback(target, history="runs.db")`. With 19 good ones the
#   bound on stopping a good run is a theorem.
# - A script that should stay as it is: `hf-ftrisk run --goal "eval_accuracy>=0.8" train.py`.
