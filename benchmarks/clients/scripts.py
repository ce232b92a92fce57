"""The scripts, and what each is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_TRAINED = {
    "max_steps": "60",
    "per_device_train_batch_size": "8",
    "per_device_eval_batch_size": "16",
    "learning_rate": "5e-3",
    "logging_steps": "5",
    "eval_strategy": "steps",
    "eval_steps": "10",
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": "True",
    "seed": "3",
}


@dataclass(frozen=True)
class Client:
    """One script with one goal.

    Args:
        name: of the row.
        script: its file, below the checkout of its project.
        given: its own arguments besides those of every training, name -> value.
        goal: what ``hf-ftrisk run`` is asked; None: nothing, it finds one.
        project: whose checkout holds it, "transformers" or "trl".
        training: whether it takes TrainingArguments.
    """

    name: str
    script: str
    given: dict[str, str]
    goal: str | None = None
    project: str = "transformers"
    training: bool = True

    def arguments(self, output: Path) -> list[str]:
        """What stands after the script's name."""
        common = _TRAINED if self.training else {}
        flags = {"do_train": "True", "do_eval": "True"}
        own = flags if self.project == "transformers" and self.training else {}
        every = {"output_dir": str(output), **common, **own, **self.given}
        return [word for name, value in every.items() for word in (f"--{name}", value)]


def _files(kind: str, ending: str = "json") -> dict[str, str]:
    train, test = f"{kind}_train.{ending}", f"{kind}_test.{ending}"
    return {"train_file": train, "validation_file": test}


def _bert(kind: str, ending: str = "json") -> dict[str, str]:
    return {"model_name_or_path": "bert", "max_seq_length": "16", **_files(kind, ending)}


def _trl(data: str) -> dict[str, str]:
    return {"model_name_or_path": "llama", "dataset_name": data, "dtype": "float32"}


_QA = {**_bert("squad"), "doc_stride": "4"}

CLIENTS = (
    Client("run_glue", "text-classification/run_glue.py", _bert("glue"), "eval_accuracy>=0.8"),
    Client("run_ner", "token-classification/run_ner.py", _bert("ner"), "eval_f1>=0.5"),
    Client("run_qa", "question-answering/run_qa.py", _QA, "eval_f1>=50"),
    Client("run_qa, no goal", "question-answering/run_qa.py", _QA),
    Client(
        "run_clm",
        "language-modeling/run_clm.py",
        {"model_name_or_path": "llama", "block_size": "16", **_files("text", "txt")},
    ),
    Client("run_mlm", "language-modeling/run_mlm.py", _bert("text", "txt"), "eval_accuracy>=0.2"),
    Client(
        "run_translation",
        "translation/run_translation.py",
        {
            "model_name_or_path": "t5",
            "source_lang": "en",
            "target_lang": "de",
            "predict_with_generate": "True",
            "max_source_length": "16",
            "max_target_length": "16",
            **_files("wmt"),
        },
        "eval_bleu>=20",
    ),
    Client(
        "run_glue_no_trainer",
        "text-classification/run_glue_no_trainer.py",
        {"model_name_or_path": "bert", "max_train_steps": "60", "seed": "3", **_files("glue")},
        training=False,
    ),
    Client("trl sft", "sft.py", _trl("sft"), project="trl"),
    Client("trl dpo", "dpo.py", _trl("pairs"), "eval_rewards/accuracies>=0.6", project="trl"),
    Client("trl reward", "reward.py", _trl("pairs"), "eval_accuracy>=0.6", project="trl"),
    Client(
        "trl grpo",
        "grpo.py",
        {
            **_trl("prompts"),
            "reward_funcs": "rewards.praise",
            "num_generations": "4",
            "max_completion_length": "4",
            "max_steps": "20",
        },
        project="trl",
    ),
)
