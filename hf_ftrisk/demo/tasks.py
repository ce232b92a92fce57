"""The demo's two tasks, each with a sound setting and two that are doomed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hf_ftrisk.demo.setting import DemoSetting

if TYPE_CHECKING:
    from transformers import Trainer

TaskName = Literal["text", "lm"]


@dataclass(frozen=True)
class Task:
    """Something to fine-tune a model on, and what is good.

    Args:
        title: model and data, for a person.
        name: under which its runs are comparable.
        goal: what a run is judged by.
        false_stop_rate: share of good runs that the rule may stop.
        budget: share of the run's steps that a pre-flight may spend.
        depths: steps at which its probes are evaluated; None: as the budget allows.
        eval_samples: rows they are evaluated on; None: as the budget allows.
        settings: the ways to fine-tune.
        trainer: builds the Trainer of a setting, writing to the given folder.
        base_model: where the model comes from, for the model card.
        datasets: where the data come from, for the model card.
    """

    title: str
    name: str
    goal: str
    false_stop_rate: float
    budget: float
    depths: tuple[int, ...] | None
    eval_samples: int | None
    settings: tuple[DemoSetting, ...]
    trainer: Callable[[DemoSetting, Path], Trainer]
    base_model: str
    datasets: str


def task_of(name: TaskName) -> Task:
    """The demo task of that name; models and data are loaded by its first Trainer."""
    return _text_task() if name == "text" else _lm_task()


def _text_task() -> Task:
    def trainer(setting: DemoSetting, folder: Path) -> Trainer:
        from hf_ftrisk.demo.text import text_trainer

        return text_trainer(setting, folder)

    return Task(
        title="all-MiniLM-L6-v2 on BBC News: the topic of an article (5 topics)",
        name="minilm/bbc-news",
        goal="eval_accuracy>=0.85",
        false_stop_rate=0.1,
        budget=0.1,
        depths=None,
        eval_samples=None,
        settings=(
            DemoSetting("sound", "a sound setting", 1e-4),
            DemoSetting("too-small", "a learning rate far too small", 1e-7),
            DemoSetting(
                "shuffled", "a sound learning rate, but shuffled labels", 1e-4, shuffled=True
            ),
        ),
        trainer=trainer,
        base_model="sentence-transformers/all-MiniLM-L6-v2",
        datasets="BBC News (Greene and Cunningham 2006)",
    )


def _lm_task() -> Task:
    def trainer(setting: DemoSetting, folder: Path) -> Trainer:
        from hf_ftrisk.demo.lm import lm_trainer

        return lm_trainer(setting, folder)

    return Task(
        title="SmolLM2-135M-Instruct with LoRA on question-answer pairs (ChatterBot's corpus)",
        name="smollm2-lora/chatterbot",
        goal="eval_loss<=2.45",
        false_stop_rate=0.1,
        budget=0.5,
        depths=(2, 4),
        eval_samples=12,
        settings=(
            DemoSetting("sound", "a sound setting", 1e-3),
            DemoSetting("too-small", "a learning rate far too small", 1e-7),
            DemoSetting(
                "shuffled", "a sound learning rate, but shuffled answers", 1e-3, shuffled=True
            ),
        ),
        trainer=trainer,
        base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
        datasets="ChatterBot's English corpus",
    )
