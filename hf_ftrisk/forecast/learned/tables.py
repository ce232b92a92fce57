"""Tables of features as numbers: a DataFrame, an array or a list of dicts; missing is NaN."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of n rows.

    Args:
        names: (n_features,) names, in the order of the columns.
        values: (n_rows, n_features) numbers, NaN where missing.
        named: the names came with the table; those of an array are made up.
    """

    names: tuple[str, ...]
    values: np.ndarray
    named: bool

    @classmethod
    def read(cls, X: Any) -> FeatureTable:
        """Table from a DataFrame, a mapping per row, or anything numpy reads as (n, m).

        Booleans count as 0 and 1; None and pandas' NA are missing.

        Raises:
            ValueError: a feature that is no number, or a table that is not two-dimensional.
        """
        # A DataFrame can only be given by who has imported pandas: it is not imported here.
        pandas = sys.modules.get("pandas")
        if pandas is not None and isinstance(X, pandas.DataFrame):
            names = tuple(str(name) for name in X.columns)
            if len(set(names)) < len(names):
                raise ValueError(f"feature names must differ, got {list(names)}")
            columns = [
                _numbers(name, X.iloc[:, i].astype(object).where(X.iloc[:, i].notna(), None))
                for i, name in enumerate(names)
            ]
            return cls(names, _stack(columns, len(X)), named=True)
        if not isinstance(X, np.ndarray) and len(X) and all(isinstance(row, Mapping) for row in X):
            return cls._from_rows(X)
        values = np.asarray(X, dtype=object if _holds_none(X) else None)
        if values.ndim != 2:
            raise ValueError(
                "features must be a DataFrame, a list of dicts or an array (n_rows, n_features), "
                f"got {type(X).__name__} of shape {values.shape}"
            )
        names = tuple(f"x{i}" for i in range(values.shape[1]))
        columns = [_numbers(name, values[:, i]) for i, name in enumerate(names)]
        return cls(names, _stack(columns, len(values)), named=False)

    @classmethod
    def _from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> FeatureTable:
        names = tuple(dict.fromkeys(str(name) for row in rows for name in row))
        columns = [_numbers(name, [row.get(name) for row in rows]) for name in names]
        return cls(names, _stack(columns, len(rows)), named=True)

    def aligned(self, names: Sequence[str], *, named: bool) -> np.ndarray:
        """Values (n_rows, n_names) of the columns a predictor was fitted to, in its order.

        A name that is not here is missing in every row; one that was not fitted is left out.

        Raises:
            ValueError: an unnamed table of another width, or no fitted name at all.
        """
        if not (self.named and named):
            if len(self.names) != len(names):
                raise ValueError(
                    f"expected {len(names)} features, as in fit, got {len(self.names)}"
                )
            return self.values
        at = {name: i for i, name in enumerate(self.names)}
        if not any(name in at for name in names):
            raise ValueError(
                f"none of the fitted features is here: expected {list(names)[:5]}..., "
                f"got {list(self.names)[:5]}..."
            )
        values = np.full((self.values.shape[0], len(names)), np.nan)
        for j, name in enumerate(names):
            if name in at:
                values[:, j] = self.values[:, at[name]]
        return values


def _holds_none(X: Any) -> bool:
    return not isinstance(X, np.ndarray) and any(value is None for row in X for value in row)


def _stack(columns: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    return np.stack(columns, axis=1) if columns else np.empty((n_rows, 0))


def _numbers(name: str, column: Any) -> np.ndarray:
    """A column (n,) as floats."""
    numbers = np.empty(len(column))
    for i, value in enumerate(column):
        if value is None:
            numbers[i] = np.nan
        elif isinstance(value, str | bytes):
            raise ValueError(
                f"feature {name!r} holds {value!r}, which is not a number: leave the column out or "
                "encode it"
            )
        else:
            numbers[i] = float(value)
    return numbers
