"""The benchmark's run tables as run records, one function a table.

The folder is found through HF_FTRISK_BENCH_DATA (default ../shared/data). Nothing from it is part
of the package.
"""

from __future__ import annotations

import gzip
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import load_reference
from hf_ftrisk.reference.table import read_runs

RECORDINGS = Path(__file__).parent / "recordings"
SEED_RECORDINGS = RECORDINGS / "seeds"
KIND_RECORDINGS = RECORDINGS / "kinds"
RTE_MAJORITY = 146 / 277  # dev set of RTE


@dataclass(frozen=True)
class Run:
    """One completed run to forecast.

    Args:
        group: cell, repository or data set; runs of one group are never split by a choice.
        record: the completed run.
        goal: what is forecast.
    """

    group: str
    record: RunRecord
    goal: Goal

    @property
    def outcome(self) -> float:
        return self.record.outcome(self.goal)


def data_folder() -> Path:
    folder = Path(os.environ.get("HF_FTRISK_BENCH_DATA", "../shared/data"))
    if not (folder / "runs").is_dir():
        raise SystemExit(
            f"benchmark data not found: {folder / 'runs'} is missing; "
            "set HF_FTRISK_BENCH_DATA to the folder that holds runs/"
        )
    return folder / "runs"


def bert_seeds() -> list[Run]:
    """BERT-large on RTE and STS-B, three recipes, 50 seeds each; a degenerate run scores 0."""
    import pandas as pd

    table = pd.read_parquet(data_folder() / "bert_seeds.parquet")
    runs = []
    for (task, recipe, seed), rows in table.groupby(["task", "recipe", "seed"]):
        metric = f"eval_{rows.metric_name.iloc[0]}"
        test = rows.test_metric.iloc[0]
        record = RunRecord(
            max_steps=int(rows.max_steps.iloc[0]),
            train_step=rows.step.to_numpy(float),
            train_loss=rows.train_loss.to_numpy(float),
            learning_rate=rows.learning_rate.to_numpy(float),
            eval_step=rows.step.to_numpy(float),
            evals={
                metric: rows.eval_metric.fillna(0.0).to_numpy(float),
                "eval_loss": rows.eval_loss.to_numpy(float),
            },
            task=f"{task} {recipe}",
            seed=int(seed),
            baselines={metric: RTE_MAJORITY if task == "RTE" else 0.0},
            final={metric: 0.0 if math.isnan(test) else float(test)},
        )
        runs.append(Run(f"{task} {recipe}", record, Goal(metric)))
    return runs


def curves() -> list[Run]:
    """Public trainer_state.json files that reached the end of their plan; the goal is eval_loss."""
    runs = []
    for path in sorted((data_folder() / "curves").glob("*.json")):
        state = json.loads(path.read_text())
        record = RunRecord.from_trainer_state(state, task=path.stem)
        steps, values = record.curve("eval_loss")
        finished = steps.size >= 2 and steps[-1] >= 0.9 * record.max_steps
        if not finished or not np.isfinite(values).all():
            continue
        fields = dict(record.to_dict(), status="finished")
        runs.append(Run(state["repo"], RunRecord.from_dict(fields), Goal("eval_loss")))
    return runs


def curves_accuracy() -> list[Run]:
    """The same files where they log an accuracy or F1: forecast of that metric."""
    runs = []
    for path in sorted((data_folder() / "curves").glob("*.json")):
        state = json.loads(path.read_text())
        record = RunRecord.from_trainer_state(state, task=path.stem)
        names = [n for n in record.evals if n.endswith(("_accuracy", "_f1", "_wer"))]
        names.sort(key=lambda n: (not n.endswith("_accuracy"), len(n), n))
        if not names:
            continue
        steps, values = record.curve(names[0])
        if steps.size < 2 or steps[-1] < 0.9 * record.max_steps:
            continue
        if not ((values >= 0) & (values <= 1)).all():
            continue
        fields = dict(record.to_dict(), status="finished")
        runs.append(Run(state["repo"], RunRecord.from_dict(fields), Goal(names[0])))
    return runs


def peft_metamath() -> list[Run]:
    """Llama-3.2-3B on MetaMathQA by the PEFT method comparison; the outcome is GSM8K's test set."""
    import pandas as pd

    table = pd.read_parquet(data_folder() / "peft_metamath.parquet")
    runs = []
    for name, rows in table.groupby("run"):
        record = RunRecord(
            max_steps=int(rows.max_steps.iloc[0]),
            train_step=rows.step.to_numpy(float),
            train_loss=rows.train_loss.to_numpy(float),
            eval_step=rows.step.to_numpy(float),
            evals={"eval_accuracy": rows.eval_accuracy.to_numpy(float)},
            task="llama-3.2-3b metamath",
            baselines={"eval_accuracy": 0.0},
            final={"eval_accuracy": float(rows.test_accuracy.iloc[0])},
            settings={
                "learning_rate": float(rows.lr.iloc[0]),
                "trainable_params": int(rows.trainable_params.iloc[0]),
            },
        )
        runs.append(Run(str(name), record, Goal("accuracy")))
    return runs


def mlperf() -> list[Run]:
    """Llama-2-70B LoRA fine-tunes of MLPerf: eval loss at 3,072 samples (global batch of 8).

    The runs follow a cosine schedule over their planned steps and end when the target is reached;
    the loss at a fixed number of samples is the outcome that the stop does not select.
    """
    with gzip.open(data_folder() / "mlperf_llama2_70b_lora.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    samples, batch = 3072, 8
    runs = []
    for i, row in enumerate(rows):
        settings = row["hp"]
        evals = {at: loss for at, loss, _ in row["eval"] if at <= samples}
        if settings.get("global_batch_size") != batch or samples not in evals or len(evals) < 4:
            continue
        planned = int(settings.get("opt_learning_rate_training_steps") or 1024)
        steps = samples // batch
        at = np.array(sorted(evals), dtype=float)
        record = RunRecord(
            max_steps=steps,
            eval_step=at / batch,
            evals={"eval_loss": np.array([evals[a] for a in at])},
            schedule=0.5 * (1.0 + np.cos(np.pi * np.arange(steps) / planned)),
            task="llama2-70b govreport",
            settings={"row": i},
        )
        runs.append(Run(row["org"], record, Goal("eval_loss")))
    return runs


def rectified_law() -> list[Run]:
    """Test loss of 30 models against the number of FLAN examples; one "step" is 100 examples."""
    import pandas as pd

    table = pd.read_csv(data_folder() / "rectified_law_flan.csv")
    sizes = [c for c in table.columns if c.isdigit()]
    steps = np.array([int(c) for c in sizes]) / 100
    runs = []
    for name, losses in zip(table["config name"], table[sizes].to_numpy(float), strict=True):
        record = RunRecord(
            max_steps=int(steps[-1]),
            eval_step=steps,
            evals={"eval_loss": losses},
            schedule=np.ones(int(steps[-1])),
            task="flan by data size",
        )
        runs.append(Run(str(name), record, Goal("eval_loss")))
    return runs


def reference() -> list[Run]:
    """The project's own packaged runs; the group is the data set."""
    runs = []
    for record in load_reference():
        goal = Goal("accuracy") if "eval_accuracy" in record.evals else Goal("eval_loss")
        if record.has_outcome(goal):
            group = str(record.settings.get("dataset", record.task))
            runs.append(Run(group, record, goal))
    return runs


def recordings() -> list[Run]:
    """The project's recordings of real length; the group is the data set."""
    return _recorded(RECORDINGS)


def seed_recordings() -> list[Run]:
    """Recordings of many seeds of one setting each (`benchmarks.record_seeds`)."""
    return _recorded(SEED_RECORDINGS)


def kind_recordings() -> list[Run]:
    """Recordings of tasks beyond the class of a text; the group is the data set."""
    return _recorded(KIND_RECORDINGS)


def _recorded(folder: Path) -> list[Run]:
    runs = []
    for file in sorted(folder.glob("*.parquet")):
        for recorded in read_runs(file):
            record = recorded.record
            goal = Goal("accuracy") if "eval_accuracy" in record.evals else Goal("eval_loss")
            if recorded.probe is None and record.has_outcome(goal):
                runs.append(Run(str(record.settings.get("dataset", record.task)), record, goal))
    return runs


TABLES: dict[str, Callable[[], list[Run]]] = {
    "bert_seeds": bert_seeds,
    "curves": curves,
    "curves_accuracy": curves_accuracy,
    "peft_metamath": peft_metamath,
    "mlperf": mlperf,
    "rectified_law": rectified_law,
    "reference": reference,
    "recordings": recordings,
}

SOURCES = {
    "bert_seeds": "asappresearch/revisit-bert-finetuning (MIT)",
    "curves": "public trainer_state.json files of the Hugging Face Trainer",
    "curves_accuracy": "the same files, where they log an accuracy, an F1 or a word error rate",
    "peft_metamath": "huggingface/peft, method comparison (Apache-2.0)",
    "mlperf": "MLPerf Training v4.0 to v5.1, Llama-2-70B LoRA results (Apache-2.0)",
    "rectified_law": "rectified scaling law, FLAN (Apache-2.0)",
    "reference": "this project's packaged runs, benchmarks/record_runs.py",
    "recordings": "this project's recordings of real length, benchmarks/recordings",
}
