"""How well the risk engine recovers what is known: docs/evidence/risk-recovery.md and its figure.

    python -m benchmarks.risk_recovery                    # print the tables
    python -m benchmarks.risk_recovery --write docs/evidence  # and write them, with the figure
    python -m benchmarks.risk_recovery --repeats 0.05     # a twentieth of the simulations

The section on real runs needs the benchmark data (HF_FTRISK_BENCH_DATA, default ../shared/data).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recovery import figure, planted, seeds, sgd, storage
from hf_ftrisk.risk import RiskPrior
from hf_ftrisk.risk.decay import FORMS

COMMAND = "python -m benchmarks.risk_recovery --write docs/evidence"
HEAD = f"""# Risk engine: recovery

Written by `{COMMAND}`; [risk.md](../concepts/risk.md) explains the terms.

![Recovery of planted curves, coverage, simulated SGD and real runs](risk-recovery.png)
"""
FACES = {
    "independent": "independent runs at each depth",
    "told": "the same runs at every depth, same_runs=True",
    "untold": "the same runs at every depth, taken for independent ones",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table, numbers to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(value: float, digits: int = 0) -> str:
    if np.isnan(value):
        return "-"
    return f"{100 * value:.{digits}f} %"


def recovery(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        (
            str(row["runs"]),
            *(f"{100 * row[f'bias {name}']:+.0f} %" for name in ("level", "intrinsic", "alpha")),
            percent(row["unidentified"]),
            percent(row["alpha error"], 1),
            *(percent(row[f"in {name}"]) for name in ("intrinsic", "K", "alpha")),
        )
        for row in rows
    ]
    head = ["n", "bias of L", "of L_int", "of alpha", "alpha open", "error of alpha"]
    return (
        f"Power laws with alpha {', '.join(f'{a:g}' for a in planted.ALPHAS)} and V_opt / L_int of "
        "1/3, 3 and 30 at the shallowest of 8 depths (20 to 900 of 1,000 steps), sample variances "
        f"of n runs at each depth, {rows[0]['fits']:,} fits for each n. Bias: median of estimate "
        "over truth, less 1 (L at the shallowest depth; for alpha the posterior median, identified "
        "or not). Error: median of |estimate / truth - 1| where alpha is reported as a number. The "
        "last columns: how often the 90 % interval holds the truth, at these truths.\n\n"
        + table([*head, "L_int held", "K held", "alpha held"], cells)
    )


def exponent(rows: Sequence[Mapping[str, float]]) -> str:
    names = ("fit", "narrow prior", "likelihood", "told L_int")
    return (
        "n = 1,500 and L_int a fiftieth of V_opt at the deepest depth: median relative error of "
        "alpha (target: under 5 %); an alpha called unidentified counts as an infinite error. "
        "Beside the fit, the same with a standard deviation of 2.5 instead of 4 in the prior of "
        "the log odds of the reducible share, maximum likelihood without a prior, and maximum "
        "likelihood that is told L_int.\n\n"
        + table(
            ["alpha", "fit", "narrower prior", "maximum likelihood", "told L_int"],
            [(f"{row['alpha']:g}", *(percent(row[n], 1) for n in names)) for row in rows],
        )
    )


def constant(counts: Mapping[int, tuple[int, int]]) -> str:
    return "K = 0: how often alpha or K comes back as a number.\n\n" + table(
        ["n", "numbers", "fits"],
        [(str(n), str(count), f"{fits:,}") for n, (count, fits) in counts.items()],
    )


def coverage(calibrations: Mapping[str, Sequence[planted.Calibration]]) -> str:
    quantities = ("L", "intrinsic", "V_opt", "K", "alpha", "b", "c*")
    blocks = []
    for name, items in calibrations.items():
        fits = len(items[0].inside["L"])
        rows = [
            (
                str(i.runs),
                *(percent(i.coverage(q), 1) for q in quantities),
                percent(i.numbers / fits),
            )
            for i in items
        ]
        head = ["n", "L", "L_int", "V_opt", "K", "alpha", "b", "c*", "alpha a number"]
        blocks.append(
            f"{FACES[name][0].upper()}{FACES[name][1:]}, {fits:,} truths:\n\n" + table(head, rows)
        )
    return (
        "Truths drawn from the default prior, each form equally often; fitted with all four. How "
        "often the 90 % interval holds the truth (L at the fifth depth, V_opt at the first; K and "
        "alpha where the truth is a power law, b where it is a power of the tail energy; c* at a "
        "random price, with one step of slack). c* is held a little more often than 90 % because "
        "many optima lie exactly at 0 or T.\n\n" + "\n\n".join(blocks)
    )


def regimes(calibrations: Mapping[str, Sequence[planted.Calibration]]) -> str:
    rows = []
    for name in ("independent", "told"):
        for item in calibrations[name]:
            bins = planted.reliability(item.regimes)
            cells = ["-" if b is None else f"{b[0]:.2f} / {b[1]:.2f}" for b in bins]
            rows.append((f"{'same' if name == 'told' else 'fresh'} runs, n = {item.runs}", *cells))
    return (
        "Probabilities of the regimes against the truth, over the same simulations with a random "
        "tolerance: mean predicted probability / how often it was that regime, in fifths of the "
        "predicted probability.\n\n"
        + table(["", "0 to .2", ".2 to .4", ".4 to .6", ".6 to .8", ".8 to 1"], rows)
    )


def regret(calibrations: Mapping[str, Sequence[planted.Calibration]]) -> str:
    rows = []
    for item in calibrations["independent"]:
        lost = np.array(item.regret)
        rows.append(
            (
                str(item.runs),
                percent(float(np.median(lost)), 1),
                percent(float(np.quantile(lost, 0.9)), 1),
            )
        )
    return (
        "What it costs to stop at the estimated c* instead of the true one, L(c) + gamma C(c) as a "
        "share of L at the shallowest depth, at prices from 0.03 to 3 L / T:\n\n"
        + table(["n", "median", "90th percentile"], rows)
    )


def simulated_exponents(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        (
            f"{row['rho']:g}",
            f"{row['true']:.2f}",
            "unidentified" if row["alpha"] is None else f"{row['alpha']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            percent(row["horizon"]),
        )
        for row in rows
    ]
    return (
        "SGD along a flat direction with eta_c ~ c^-rho, 3,000 runs of 1,000 steps, fitted without "
        "the schedule:\n\n"
        + table(
            ["rho", "2 rho - 1", "alpha", "90 % interval", "weight of the finite horizon"], cells
        )
    )


def simulated_schedules(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        (
            row["schedule"],
            *(percent(row[form]) for form in FORMS),
            percent(row["error"], 1),
            f"{row['intrinsic']:.2f}",
        )
        for row in rows
    ]
    return (
        "SGD along a flat direction, 2,000 runs of 1,000 steps, fitted with the schedule. Weights "
        "of the forms; largest error of V_opt from 20 steps on, as a share of V_opt there; L_int "
        "as a share of the planted one.\n\n"
        + table(["schedule", *FORMS, "error of V_opt", "L_int"], cells)
    )


def simulated_contraction(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        (
            f"{row['contraction']:g}",
            *(percent(row[form]) for form in FORMS),
            percent(row["all"]),
            max(row["weights"], key=lambda form: row["weights"][form]),
            "-" if row["b"] is None else f"{row['b']:.2f}",
        )
        for row in rows
    ]
    return (
        "Noisy quadratic under linear decay: h sum(eta) says how often the direction forgets over "
        "the run. Largest error of V_opt, as above, of each form fitted alone to the exact curve, "
        "and of all forms averaged; the form that wins; the exponent b of the tail energy.\n\n"
        + table(["h sum(eta)", *FORMS, "averaged", "wins", "b"], cells)
    )


def real_runs(cells_of: Mapping[str, Sequence[seeds.Cell]]) -> str:
    if not cells_of:
        return "Not measured: the benchmark data were not found (HF_FTRISK_BENCH_DATA)."
    blocks = []
    titles = {
        "regression": "Forecast: least squares on last and best value, evaluation and training "
        "loss, learned from the cell's other 49 runs",
        "package": "Forecast: `Forecaster.default`, given the cell's other 49 runs as history",
    }
    for name, cells in cells_of.items():
        curves = [
            (cell.name, *(f"{100 * root:.1f}" for root in np.sqrt(cell.estimate.risks)))
            for cell in cells
        ]
        tenths = [f"{10 * (i + 1)} %" for i in range(seeds.EVALUATIONS)]
        blocks.append(
            f"{titles[name]}. Root of the risk in points by share of the run:\n\n"
            + table(["cell", *tenths], curves)
        )
        blocks.append(
            "What the fit makes of it (tolerance 3 points; root of L_int in points with its 90 % "
            "interval):\n\n"
            + table(
                ["cell", "regime", "probability", "root of L_int", "alpha", *FORMS, "c* / T"],
                [_real_fit(cell) for cell in cells],
            )
        )
    prior = RiskPrior.from_tasks([cell.fit for cell in cells_of["regression"]])
    blocks.append(
        "Prior learned from these six cells and the default as a seventh (`RiskPrior.from_tasks`): "
        f"log odds of the share {prior.share_mean:.2f} +- {prior.share_sd:.2f}, log alpha "
        f"{prior.alpha_log_mean:.2f} +- {prior.alpha_log_sd:.2f}, log b {prior.tail_log_mean:.2f} "
        f"+- {prior.tail_log_sd:.2f}, weights "
        + ", ".join(f"{form} {weight:.2f}" for form, weight in prior.form_weights.items())
        + "."
    )
    return "\n\n".join(blocks)


def _real_fit(cell: seeds.Cell) -> tuple[str, ...]:
    fit = cell.fit
    low, high = (100 * np.sqrt(end) for end in fit.interval("intrinsic"))
    regime = fit.regime
    sure = max(fit.regime_probabilities.values())
    return (
        cell.name,
        regime,
        f"{sure:.2f}",
        f"{100 * np.sqrt(fit.intrinsic):.1f} ({low:.1f} to {high:.1f})",
        "unidentified" if fit.alpha is None else f"{fit.alpha:.2f}",
        *(percent(fit.weights[form]) for form in FORMS),
        percent(fit.optimal_depth() / (fit.horizon or np.nan)),
    )


def upkeep(scale: Callable[[int], int]) -> str:
    lost = storage.storage_error(scale(200))
    times = [(f"{t:,}", *storage.fit_seconds(scale(200), t)) for t in (1000, 100_000)]
    return (
        "Stored as JSON (256 of 2,000 draws), 95th percentile over fits with n = 30: L(c) at the "
        f"measured depths moves by at most {percent(lost['total'], 1)}, the ends of the interval "
        f"of L_int by {percent(lost['interval'], 1)}, c* by {percent(lost['c*'], 1)} of the run "
        f"and the ends of its interval by {percent(lost['c* interval'], 1)}; the largest takes "
        f"{lost['bytes'] / 1000:.0f} kB.\n\nProcessor time of a fit with all four forms:\n\n"
        + table(
            ["steps of the schedule", "median", "slowest"],
            [(t, f"{1e3 * middle:.1f} ms", f"{1e3 * most:.1f} ms") for t, middle, most in times],
        )
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run every section; write the tables and the figure when asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", type=Path, help="folder of risk-recovery.md and .png")
    parser.add_argument("--repeats", type=float, default=1.0, help="share of the simulations")
    options = parser.parse_args(argv)

    def scale(n: int) -> int:
        return max(1, round(n * options.repeats))

    rows = planted.grid(scale(100))
    calibrations = {
        "independent": [planted.calibrate(n, scale(2000)) for n in planted.RUNS],
        "told": [planted.calibrate(n, scale(2000), same_runs=True) for n in planted.RUNS],
        "untold": [
            planted.calibrate(n, scale(2000), same_runs=True, told=False) for n in planted.RUNS
        ],
    }
    cells: dict[str, list[seeds.Cell]] = {}
    try:
        cells = {name: seeds.cells(name) for name in seeds.PREDICTORS}
    except SystemExit as missing:
        print(f"{missing}\n")
    sections = {
        "Planted curves": recovery(rows),
        "A clear exponent": exponent(planted.clear_exponent(scale(200))),
        "No decay at all": constant(planted.nothing_decays(scale(2000))),
        "Coverage": coverage(calibrations),
        "Regimes": regimes(calibrations),
        "Optimal depth": regret(calibrations),
        "Simulated SGD: the exponent": simulated_exponents(sgd.exponents()),
        "Simulated SGD: the schedule": simulated_schedules(sgd.schedule_fits()),
        "Simulated SGD: contraction": simulated_contraction(sgd.contraction_fits()),
        "Real runs: BERT-large, 50 seeds a cell": real_runs(cells),
        "Storage and time": upkeep(scale),
    }
    text = HEAD
    text += "".join(f"\n## {title}\n\n{body}\n" for title, body in sections.items())
    print(text)
    if options.write:
        (options.write / "risk-recovery.md").write_text(text)
        names = {FACES[name]: items for name, items in calibrations.items()}
        figure.draw(options.write / "risk-recovery.png", rows, names, cells.get("regression", []))


if __name__ == "__main__":
    main()
