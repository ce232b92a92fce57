"""Folds of whole sources, and chances of the gain from models that did not know a run's source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.finish.cases import Case

FOLDS = 6


def folds_of(cases: Sequence[Case]) -> np.ndarray:
    """Fold (n_cases,) of each case; within each table the sources are dealt out, largest first.

    Both tasks of BERT share all but the data, and go into one fold.
    """
    units = np.array(["bert" if case.table == "bert_seeds" else case.source for case in cases])
    tables = np.array([case.table for case in cases])
    fold: dict[str, int] = {}
    for table in sorted(set(tables.tolist())):
        names, sizes = np.unique(units[tables == table], return_counts=True)
        load = np.zeros(FOLDS)
        for i in np.argsort(-sizes, kind="stable").tolist():
            name = str(names[i])
            if name not in fold:
                fold[name] = int(np.argmin(load))
            load[fold[name]] += sizes[i]
    return np.array([fold[unit] for unit in units.tolist()])
