"""Twelve candidates ranked live, against their full runs: time and regret, on two data sets.

    OMP_NUM_THREADS=1 python -m benchmarks.ranking_live --write docs/evidence/choosing.md

Candidates are six learning rates, each with all weights trained and with LoRA, of MiniLM cut to
its first two layers (`benchmarks.longruns`). HF_FTRISK_BENCH_DATA names the data sets. The winner
is trained on from its probe. What other methods would have chosen for the same steps is replayed on
the full runs that were just trained. Seconds are of one processor core, all that a process on one
thread does: whatever else the machine is busy with, they are what a clock shows on an idle one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from benchmarks.longruns.setting import LongSetting
from benchmarks.longruns.tasks import Task, build
from benchmarks.run_tables import Run
from benchmarks.selection.baselines import BASELINES
from benchmarks.selection.pools import Pool
from benchmarks.selection.replay import Bench
from benchmarks.watched import write_table
from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.choosing import Ranking, rank
from hf_ftrisk.text import percent

DATA_SETS = {"trec6": 20, "customer_reviews": 24}  # name -> tokens a row is cut at
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
METHODS = ("full", "lora")
STEPS, EVALUATIONS = 200, 10
BUDGET = 0.2
ORDERS = 20
OTHERS = ("random", "last value at 20 %", "successive halving, 3", "ASHA, 3", "Hyperband, 3")
GOAL = Goal("eval_accuracy")


@dataclass(frozen=True, eq=False)
class Live:
    """One data set's ranking and its candidates' full runs.

    Args:
        dataset: its name.
        ranking: what `rank` came to.
        seconds: core time of the ranking.
        rest_seconds: core time of the winner's run from its probe to its end.
        rest: metric at that end.
        full_seconds: core time of all full runs together.
        pool: the full runs.
    """

    dataset: str
    ranking: Ranking
    seconds: float
    rest_seconds: float
    rest: float
    full_seconds: float
    pool: Pool

    @property
    def ends(self) -> dict[str, float]:
        """Candidate -> what its full run came to."""
        return {run.group: run.outcome for run in self.pool.runs}

    @property
    def regret(self) -> float:
        """Points by which the chosen candidate's full run ended below the best."""
        best = self.ranking.best
        assert best is not None
        return 100.0 * (max(self.ends.values()) - self.ends[best.name])

    def regret_of(self, name: str) -> float:
        """Mean regret of another method over orders, for the same share of the steps."""
        chosen = [
            BASELINES[name](Bench(self.pool, BUDGET), np.random.default_rng(seed))
            for seed in range(ORDERS)
        ]
        return float(np.mean(self.pool.regrets[chosen]))


def settings_of(dataset: str) -> dict[str, LongSetting]:
    """Candidate -> its setting."""
    base = LongSetting(
        dataset,
        max_steps=STEPS,
        evaluations=EVALUATIONS,
        max_tokens=DATA_SETS[dataset],
        train_rows=2000,
    )
    return {
        f"{method} {rate:g}": replace(base, method=method, learning_rate=rate)  # type: ignore[arg-type]
        for method in METHODS
        for rate in RATES
    }


def maker(setting: LongSetting, task: Task, folder: Path) -> Callable[[], Trainer]:
    """What builds a candidate's Trainer."""

    def make() -> Trainer:
        trainer = Trainer(
            model=task.model(),
            args=TrainingArguments(
                output_dir=str(folder),
                max_steps=setting.max_steps,
                learning_rate=setting.learning_rate,
                warmup_steps=setting.warmup_steps,
                per_device_train_batch_size=setting.batch_size,
                per_device_eval_batch_size=64,
                eval_strategy="steps",
                eval_steps=setting.max_steps // setting.evaluations,
                logging_steps=setting.max_steps // setting.evaluations,
                save_strategy="no",
                use_cpu=True,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=task.train_rows,
            eval_dataset=task.eval_rows,
            data_collator=task.collator,
            compute_metrics=task.metrics,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


def full_run(make: Callable[[], Trainer]) -> RunRecord:
    """A candidate trained to its end, as it would be without a ranking."""
    set_seed(0)
    trainer = make()
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "train_runtime" not in entry]
    return RunRecord.from_log_history(log, max_steps=STEPS, status="finished")


def ranked(dataset: str, folder: Path) -> Live:
    """Rank a data set's candidates, carry the winner on, then train all of them."""
    makes = {
        name: maker(setting, build(setting), folder / "own")
        for name, setting in settings_of(dataset).items()
    }
    full_run(next(iter(makes.values())))  # what is loaded once is nobody's time
    started = time.process_time()
    ranking = rank(makes, GOAL, budget=BUDGET, folder=folder / "rank")
    seconds = time.process_time() - started
    assert ranking.best is not None
    started = time.process_time()
    set_seed(0)
    winner = makes[ranking.best.name]()
    winner.train(resume_from_checkpoint=ranking.best.checkpoint)
    rest_seconds = time.process_time() - started
    rest = next(e for e in reversed(winner.state.log_history) if GOAL.metric in e)[GOAL.metric]
    started = time.process_time()
    runs = tuple(Run(name, full_run(make), GOAL) for name, make in makes.items())
    full_seconds = time.process_time() - started
    return Live(
        dataset, ranking, seconds, rest_seconds, rest, full_seconds, Pool(dataset, runs, "")
    )


def summary_table(lives: list[Live]) -> str:
    """Time and regret, a data set a row."""
    rows = [
        "| data set | all full runs | ranking | winner's rest | together | chosen | its end | "
        "best end | regret, points | " + " | ".join(OTHERS) + " |",
        "| --- | " + "---: | " * 4 + "--- | " + "---: | " * (3 + len(OTHERS)),
    ]
    for live in lives:
        best = live.ranking.best
        assert best is not None
        together = (live.seconds + live.rest_seconds) / live.full_seconds
        others = " | ".join(f"{live.regret_of(name):.1f}" for name in OTHERS)
        rows.append(
            f"| {live.dataset} | {live.full_seconds:.0f} s | {live.seconds:.0f} s | "
            f"{live.rest_seconds:.0f} s | {percent(together)} | {best.name} | {live.rest:.3f} | "
            f"{max(live.ends.values()):.3f} | {live.regret:.1f} | {others} |"
        )
    return "\n".join(rows)


def candidate_table(lives: list[Live]) -> str:
    """What the ranking said of each candidate, and how its full run ended."""
    head = "".join(f" {live.dataset}: P(best) | trained | end |" for live in lives)
    rows = [f"| candidate |{head}", "| --- | " + "---: | " * (3 * len(lives))]
    for name in lives[0].ends:
        cells = "".join(
            f" {percent(live.ranking[name].prob_best)} | {percent(live.ranking[name].share)} | "
            f"{live.ends[name]:.3f} |"
            for live in lives
        )
        rows.append(f"| {name} |{cells}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args()
    lives = []
    for dataset in DATA_SETS:
        with tempfile.TemporaryDirectory(prefix="ranking-live-") as folder:
            lives.append(ranked(dataset, Path(folder)))
        print(summary_table(lives), flush=True)
    text = f"{summary_table(lives)}\n\n{candidate_table(lives)}"
    print(text)
    if options.write:
        write_table(options.write, "live", text)


if __name__ == "__main__":
    main()
