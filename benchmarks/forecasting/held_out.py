"""The package's forecast as fitted without some sources: what anything is measured with."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache

import numpy as np

from benchmarks.forecasting.examples import Examples
from benchmarks.forecasting.fitting import fit_change_model
from benchmarks.forecasting.sources import completed
from hf_ftrisk.forecast.change_model import ChangeModel, Family
from hf_ftrisk.forecast.forecaster import Forecaster

FOLDS = 6  # of the public families, and of the project's own data sets


@cache
def all_rows() -> Examples:
    """Rows of all runs, each metric on its own scale."""
    return Examples.of(completed())


def fold_of(source: str) -> str:
    """What is held out together with a source."""
    if source.startswith("bert "):
        return "bert"
    if source.startswith("plm "):
        return source
    if source in ("mlperf", "rectified_law", "huggingface/peft"):
        return source
    kind = "own" if source.startswith("own ") else "public"
    return f"{kind} {zlib.crc32(source.encode()) % FOLDS}"


@cache
def models_without(fold: str) -> Mapping[Family, ChangeModel]:
    """Models of losses and scores, fitted without a fold's sources."""
    rows = all_rows()
    kept = np.array([fold_of(source) != fold for source in rows.source.tolist()])
    families: tuple[Family, ...] = ("loss", "score")
    return {name: fit_change_model(rows.where(kept & (rows.family == name))) for name in families}


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
    return Forecaster(models=models_without(fold_of(source_of(table, group))))
