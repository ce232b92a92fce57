"""The package's forecast as fitted without some sources: what anything is measured with."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from benchmarks.forecasting.before import fit_before_model, rows_before
from benchmarks.forecasting.examples import Examples
from benchmarks.forecasting.fitting import SMALL, fit_change_model
from benchmarks.forecasting.sources import completed
from hf_ftrisk.forecast.before import BeforeModel
from hf_ftrisk.forecast.change_model import ChangeModel, Family
from hf_ftrisk.forecast.forecaster import Forecaster

FAMILIES: tuple[Family, ...] = ("loss", "score")
FOLDS = 4  # of the public families, and of the project's own data sets


@cache
def all_rows() -> Examples:
    """Rows of all runs, each metric on its own scale."""
    return Examples.of(completed())


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
    return rows_before(completed())


def _without(rows: Examples, fold: str, family: Family) -> Examples:
    kept = np.array([fold_of(source) != fold for source in rows.source.tolist()])
    return rows.where(kept & (rows.family == family))


@cache
def _model_without(fold: str, family: Family) -> ChangeModel:
    return fit_change_model(_without(all_rows(), fold, family))


class _Models(Mapping[Family, ChangeModel]):
    """Models of losses and scores, each fitted when it is first asked for."""

    def __init__(self, fold: str) -> None:
        self._fold = fold

    def __getitem__(self, family: Family) -> ChangeModel:
        return _model_without(self._fold, family)

    def __iter__(self) -> Iterator[Family]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


def models_without(fold: str) -> Mapping[Family, ChangeModel]:
    """Models of losses and scores, fitted without a fold's sources."""
    return _Models(fold)


@cache
def before_without(fold: str) -> Mapping[Family, BeforeModel]:
    """Models for what was not yet evaluated, fitted without a fold's sources."""
    rows = all_rows_before()
    return {name: fit_before_model(_without(rows, fold, name), SMALL) for name in FAMILIES}


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
