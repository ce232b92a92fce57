"""The package's forecast as fitted without some sources: what anything is measured with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from benchmarks.forecasting.before import fit_before_model, rows_before
from benchmarks.forecasting.examples import Examples
from benchmarks.forecasting.fitting import SMALL, fit_change_model
from benchmarks.forecasting.sources import Completed, completed
from benchmarks.in_parallel import in_parallel, parts
from hf_ftrisk.forecast.before import BeforeModel
from hf_ftrisk.forecast.change_model import ChangeModel, Family
from hf_ftrisk.forecast.forecaster import Forecaster

FAMILIES: tuple[Family, ...] = ("loss", "score")
FOLDS = 4  # of the public families, and of the project's own data sets


# What was fitted without a fold: models of losses and scores, and those before an evaluation.
_models: dict[tuple[str, Family], ChangeModel] = {}
_before: dict[tuple[str, Family], BeforeModel] = {}


@cache
def all_runs() -> Sequence[Completed]:
    """All runs, once for each metric."""
    return completed()


@cache
def all_rows() -> Examples:
    """Rows of all runs, each metric on its own scale."""
    return Examples.joined(in_parallel(_rows_of, parts(len(all_runs()))))


def _rows_of(part: range) -> Examples:
    return Examples.of(all_runs()[part.start : part.stop])


def fold_of(source: str) -> str:
    """What is held out together with a source."""
    if source.startswith("bert "):
        return "bert"
    if source in ("mlperf", "rectified_law", "huggingface/peft"):
        return "single tables"
    kind = next((k for k in ("own", "plm") if source.startswith(f"{k} ")), "public")
    folds = FOLDS // 2 if kind == "plm" else FOLDS
    return f"{kind} {zlib.crc32(source.encode()) % folds}"


@cache
def all_rows_before() -> Examples:
    """Rows of all runs before their first evaluation."""
    return Examples.joined(in_parallel(_rows_before_of, parts(len(all_runs()))))


def _rows_before_of(part: range) -> Examples:
    return rows_before(all_runs()[part.start : part.stop])


def _without(rows: Examples, fold: str, family: Family) -> Examples:
    kept = np.array([fold_of(source) != fold for source in rows.source.tolist()])
    return rows.where(kept & (rows.family == family))


def _fitted(fold_and_family: tuple[str, Family]) -> ChangeModel:
    return fit_change_model(_without(all_rows(), *fold_and_family))


def _fitted_before(fold_and_family: tuple[str, Family]) -> BeforeModel:
    return fit_before_model(_without(all_rows_before(), *fold_and_family), SMALL)


def fit_without(folds: Iterable[str]) -> None:
    """Fit all models without each of some folds at once, on all processors.

    What is not fitted here is fitted when it is first asked for, by the process that asks.
    """
    wanted = [(fold, family) for fold in dict.fromkeys(folds) for family in FAMILIES]
    missing = [key for key in wanted if key not in _models]
    all_rows()
    _models.update(zip(missing, in_parallel(_fitted, missing), strict=True))
    missing = [key for key in wanted if key not in _before]
    all_rows_before()
    _before.update(zip(missing, in_parallel(_fitted_before, missing), strict=True))


class _Models(Mapping[Family, ChangeModel]):
    """Models of losses and scores, each fitted when it is first asked for."""

    def __init__(self, fold: str) -> None:
        self._fold = fold

    def __getitem__(self, family: Family) -> ChangeModel:
        key = (self._fold, family)
        if key not in _models:
            _models[key] = _fitted(key)
        return _models[key]

    def __iter__(self) -> Iterator[Family]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


def models_without(fold: str) -> Mapping[Family, ChangeModel]:
    """Models of losses and scores, fitted without a fold's sources."""
    return _Models(fold)


def before_without(fold: str) -> Mapping[Family, BeforeModel]:
    """Models for what was not yet evaluated, fitted without a fold's sources."""
    for key in [(fold, family) for family in FAMILIES]:
        if key not in _before:
            _before[key] = _fitted_before(key)
    return {family: _before[fold, family] for family in FAMILIES}


def source_of(table: str, group: str) -> str:
    """Source of a run of `run_tables`, by its table and group."""
    table = table.removesuffix("_loss").removesuffix("_accuracy")
    if table in ("reference", "recordings"):
        return f"own {group}"
    if table == "bert_seeds":
        return f"bert {group.split()[0]}"
    if table == "peft_metamath":
        return "huggingface/peft"
    return table if table in ("mlperf", "rectified_law") else group


def held_out_forecaster(table: str, group: str) -> Forecaster:
    """The default forecaster, fitted without the source of a run."""
    return forecaster_without(fold_of(source_of(table, group)))


def forecaster_without(fold: str) -> Forecaster:
    """The default forecaster, fitted without a fold's sources."""
    return Forecaster(models=models_without(fold), before=before_without(fold))
