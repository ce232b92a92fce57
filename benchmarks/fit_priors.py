"""Fit the curve model's prior weights on completed runs and write hf_ftrisk/reference/priors.json.

    python -m benchmarks.fit_priors            # fit on all tables and write
    python -m benchmarks.fit_priors --check    # leave each table out and print the log score

The prior is a product of weights over the grid's factors. It maximises the mean log density of the
outcome given the prefix (at 10, 20, 30, 50 and 70 % of the run), each table weighing the same and
within it each group (cell, repository, data set) and depth; a small ridge keeps unused values
alive. Only the weights are packaged.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from benchmarks import run_tables
from hf_ftrisk.forecast.curve import Grid, condition
from hf_ftrisk.forecast.extrapolation import CurveView, _thin
from hf_ftrisk.forecast.prior import PRIORS_FILE, family
from hf_ftrisk.goal import Goal
from hf_ftrisk.reference import load_reference

DEPTHS = (0.1, 0.2, 0.3, 0.5, 0.7)
OUTCOME_SD = 0.06
RIDGE = 0.02
BROAD = 0.001  # weight of a broad outlier component in the score, so that no run counts without end
WEIGHT = {"curves": 2.0, "curves_accuracy": 2.0, "reference": 2.0}


@dataclass(frozen=True, eq=False)
class Case:
    """One prefix with every component's prediction of the outcome."""

    table: str
    group: str
    depth: float
    family: str
    last: float
    outcome: float
    evidence: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def runs_by_table() -> dict[str, list[run_tables.Run]]:
    """Runs to learn from. BERT's eval_loss and the reference's eval_loss count as goals too."""
    tables = {name: load() for name, load in run_tables.TABLES.items() if name != "reference"}
    tables["bert_seeds"] = [r for r in tables["bert_seeds"] if r.record.seed % 3 == 0]
    tables["bert_seeds_loss"] = [replace(r, goal=Goal("loss")) for r in tables["bert_seeds"]]
    tables["mlperf"] = tables["mlperf"][::6]
    for metric in ("accuracy", "loss"):
        tables[f"reference {metric}"] = [
            run_tables.Run(str(record.settings.get("dataset")), record, Goal(metric))
            for record in load_reference()
            if record.has_outcome(Goal(metric))
        ]
    return tables


def cases_of(table: str, run: run_tables.Run) -> list[Case]:
    """The run's prefixes; a run without a finite outcome has none."""
    grid = Grid()
    components = grid.components()
    record = replace(run.record, load_best=False)
    outcome = record.outcome(run.goal)
    found = []
    for depth in DEPTHS if np.isfinite(outcome) else ():
        view = CurveView.of(record.prefix(depth * record.max_steps + 1e-6), run.goal)
        if view is None or np.abs(view.z).max() > 30:
            continue
        kept = _thin(view.z.size)
        mixture = condition(
            grid,
            components,
            view.z[kept],
            view.clocks.at(view.steps[kept]),
            view.clocks.at(np.array([float(record.max_steps)])),
            view.start,
        )
        found.append(
            Case(
                table,
                run.group,
                depth,
                family(run.goal.kind),
                float(view.z[-1]),
                view.coordinate(outcome),
                mixture.log_evidence.astype(np.float32),
                mixture.means[:, 0].astype(np.float32),
                mixture.covariances[:, 0, 0].astype(np.float32),
            )
        )
    return found


def case_weights(cases: list[Case]) -> np.ndarray:
    """(n,) weights: tables alike, then groups and depths alike, then runs alike."""
    members = Counter((c.table, c.group, c.depth) for c in cases)
    groups = Counter(table for table, _, _ in members)
    weight = [
        WEIGHT.get(c.table.split(" ")[0], 1.0)
        / groups[c.table]
        / members[c.table, c.group, c.depth]
        for c in cases
    ]
    return np.array(weight) / np.sum(weight)


class WeightFit:
    """Mean log score of the outcomes as a function of the factors' log weights."""

    def __init__(self, cases: list[Case]) -> None:
        grid = Grid()
        self.factors, self.components = grid.factors, grid.components()
        self.weight = case_weights(cases)
        self.evidence = np.stack([c.evidence - c.evidence.max() for c in cases])
        outcome = np.array([c.outcome for c in cases])
        variance = np.stack([c.variance for c in cases]) + OUTCOME_SD**2
        miss = outcome[:, None] - np.stack([c.mean for c in cases])
        self.density = -0.5 * (miss**2 / variance + np.log(2 * np.pi * variance))
        last = np.array([c.last for c in cases])
        self.broad = (
            np.log(BROAD) - 0.5 * ((outcome - last) / 1.5) ** 2 - np.log(1.5 * np.sqrt(2 * np.pi))
        )

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        total = np.zeros(len(self.components["shapes"]), dtype=np.float32)
        for index, part in zip(self.components.values(), self._split(theta), strict=True):
            total += (part - np.logaddexp.reduce(part))[index].astype(np.float32)
        return total

    def _split(self, theta: np.ndarray) -> list[np.ndarray]:
        return np.split(theta, np.cumsum(list(self.factors.values()))[:-1])

    def loss(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the mean log score plus the ridge, and its gradient."""
        before = self.log_prior(theta) + self.evidence
        after = before + self.density
        norm_before, share_before = _softmax(before)
        norm_after, share_after = _softmax(after)
        score = np.log1p(-BROAD) + norm_after - norm_before
        total = np.logaddexp(score, self.broad)
        pull = (self.weight * np.exp(score - total)) @ (share_after - share_before)
        gradient = np.concatenate(
            [
                np.bincount(index, weights=pull, minlength=self.factors[name])
                for name, index in self.components.items()
            ]
        )
        ridge = RIDGE * float(np.mean(theta**2))
        return ridge - float(self.weight @ total), 2 * RIDGE * theta / theta.size - gradient

    def fit(self) -> dict[str, list[float]]:
        """Weights of every factor, each summing to 1."""
        start = np.zeros(sum(self.factors.values()))
        best = minimize(self.loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 80}).x
        return {
            name: np.round(np.exp(p - np.logaddexp.reduce(p)), 6).tolist()
            for name, p in zip(self.factors, self._split(best), strict=True)
        }

    def score(self, weights: dict[str, list[float]]) -> float:
        """Mean log score under given weights."""
        theta = np.concatenate([np.log(weights[name]) for name in self.factors])
        return -(self.loss(theta)[0] - RIDGE * float(np.mean(theta**2)))


def _softmax(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top = x.max(axis=1, keepdims=True)
    share = np.exp(x - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    return (np.log(total) + top)[:, 0], share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="leave each table out, write nothing")
    options = parser.parse_args()
    cases: dict[str, list[Case]] = {"score": [], "loss": []}
    counts: Counter[str] = Counter()
    for table, runs in runs_by_table().items():
        for run in runs:
            found = cases_of(table, run)
            counts[table] += bool(found)
            for case in found:
                cases[case.family].append(case)
    stored = {}
    for name, rows in cases.items():
        if options.check:
            for table in sorted({c.table for c in rows}):
                weights = WeightFit([c for c in rows if c.table != table]).fit()
                held_out = WeightFit([c for c in rows if c.table == table])
                flat = {f: [1 / n] * n for f, n in Grid().factors.items()}
                print(
                    f"{name} {table}: log score {held_out.score(weights):.3f}, "
                    f"with equal weights {held_out.score(flat):.3f}"
                )
        else:
            stored[name] = {"weights": WeightFit(rows).fit(), "outcome_sd": OUTCOME_SD}
    if not options.check:
        provenance = {
            "method": __doc__.partition("\n\n")[2].partition("\n\n")[2].replace("\n", " ").strip(),
            "command": "python -m benchmarks.fit_priors",
            "runs": dict(counts),
            "sources": run_tables.SOURCES,
        }
        known = json.loads(PRIORS_FILE.read_text()) if PRIORS_FILE.is_file() else {}
        known.update({"provenance": provenance, "curve": stored})
        PRIORS_FILE.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
