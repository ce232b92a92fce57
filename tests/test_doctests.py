"""The examples in docstrings run, each with what its reader would have at hand."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hf_ftrisk
from hf_ftrisk import RunRecord, Verdict

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Run elsewhere, for a whole loop or search stands behind them: in examples/accelerate_loop.py and
# tests/choosing/test_rank.py.
RUN_ELSEWHERE = {
    "hf_ftrisk.probing.runner.PreflightRunner.from_loop",
    "hf_ftrisk.choosing.engine.rank",
    "hf_ftrisk.choosing.ranking.Ranking",
    "hf_ftrisk.watch.loop.watch_loop",
}


class _Checker(doctest.OutputChecker):
    """Where an example shows no output, whatever a training prints is right."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if want == "":
            return True
        return super().check_output(want, got, optionflags)


def _trainer(folder: Path) -> dict[str, Any]:
    from tests.watch.tiny import bert_trainer

    return {"trainer": bert_trainer(folder), "Verdict": Verdict}


def _record() -> RunRecord:
    return RunRecord.from_columns(
        {"step": [5, 10], "loss": [0.7, 0.6], "eval_accuracy": [0.5, 0.6]},
        max_steps=10,
        task="sst2",
    )


def _meter(folder: Path) -> dict[str, Any]:
    from hf_ftrisk.signals.dynamics import dynamics_signals

    names = _trainer(folder)
    names["trainer"].create_optimizer()
    return {
        **names,
        "train": names["trainer"].optimizer.step,
        "dynamics_signals": dynamics_signals,
        "record": _record(),
    }


def _optuna(folder: Path) -> dict[str, Any]:
    import optuna

    return {"optuna": optuna}


def _table(folder: Path) -> dict[str, Any]:
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((40, 2)), columns=["rate", "rows"])
    table["accuracy"] = 0.5 + 0.4 * table["rate"]
    features = ["rate", "rows"]
    return {"table": table, "features": features, "new_runs": table[features].iloc[:2]}


# What an example needs besides the names of its module.
GIVEN: dict[str, Callable[[Path], dict[str, Any]]] = {
    "hf_ftrisk.watch.callback.FineTuneRiskCallback": _trainer,
    "hf_ftrisk.probing.runner.preflight": _trainer,
    "hf_ftrisk.history.run_history.RunHistory": lambda folder: {"record": _record()},
    "hf_ftrisk.signals.steps.StepMeter": _meter,
    "hf_ftrisk.forecast.learned.predictor.LearnedPredictor": _table,
    "hf_ftrisk.integrations.optuna.RiskPruner": _optuna,
}


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = [module.name for module in pkgutil.walk_packages(hf_ftrisk.__path__, "hf_ftrisk.")]
    ours = [name for name in names if not name.endswith(("__main__", ".axolotl"))]
    modules = [importlib.import_module(name) for name in ours]
    return [test for module in modules for test in finder.find(module) if test.examples]


EXAMPLES = {test.name: test for test in _examples()}


def test_every_example_that_is_given_something_is_there():
    assert GIVEN.keys() | RUN_ELSEWHERE <= EXAMPLES.keys()


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - RUN_ELSEWHERE))
def test_an_example_runs_and_gives_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = EXAMPLES[name]
    example.globs.update(GIVEN[name](tmp_path) if name in GIVEN else {})
    said: list[str] = []
    result = doctest.DocTestRunner(_Checker(), optionflags=FLAGS).run(example, out=said.append)
    assert result.failed == 0, "".join(said)
