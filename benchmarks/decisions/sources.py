"""The recorded runs that the rule of a pre-flight is fitted on and measured with.

Long runs (`benchmarks.longruns`, 500 steps and more) with their probes, and the short runs of the
packaged reference library, whose own beginning stands for the probe. Signals that a record lacks,
because it is older than they are, are measured again from its setting and kept in `SIGNALS_FILE`:
numbers of the untrained model alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.decisions.examples import JUMP, ROW_KINDS, ProbedRun, probed_run
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.longruns import store
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import load_reference
from hf_ftrisk.reference.pairs import Pair, pairs_of
from hf_ftrisk.signals.ordering import ORDERING

SIGNALS_FILE = Path(__file__).parent / "signals.json"
# How well scores order rows at steps of the probes, which records made before it was measured lack.
ORDERINGS_FILE = Path(__file__).parent / "orderings.json"
# Signals that the parts are read from.
NAMES = (
    "signal_score",
    "signal_shuffled",
    "signal_p",
    "signal_z",
    "signal_correlation",
    "signal_eval_score",
    "signal_eval_trivial",
    "signal_rows",
    "signal_eval_rows",
    "input_gain",
    "input_gain_z",
    "gradient_l1",
    "gradient_l1_agreed",
    "schedule_rates",
    "schedule_gain",
    "simulated_score",
    "zero_shot_loss",
    "uniform_loss",
    "label_entropy",
    "majority_share",
    "classes",
    "train_rows",
    "sampled_rows",
    "log_me",
)
# Of the beginning of a short run, which is all warm-up at a twentieth.
_SHORT_SHARE = 0.15


def knowing_none(dataset: str) -> Predictor:
    """The default forecaster, fitted without this data set of ours."""
    return held_out_forecaster("recordings", dataset)


def known_signals() -> dict[str, dict[str, float]]:
    """Key of a run or setting -> the signals measured for it."""
    return _known(SIGNALS_FILE)


def _known(file: Path) -> dict[str, dict[str, float]]:
    if not file.exists():
        return {}
    numbers: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8"))
    return numbers


def _keep(file: Path, numbers: Mapping[str, Mapping[str, float]]) -> None:
    """Add to a file, a key a line."""
    merged = {**_known(file), **numbers}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(merged[key])}" for key in sorted(merged))
    file.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def keep_signals(signals: Mapping[str, Mapping[str, float]]) -> None:
    """Add signals to the file, to four digits."""
    numbers = {
        key: {name: float(f"{static[name]:.4g}") for name in NAMES if name in static}
        for key, static in signals.items()
    }
    _keep(SIGNALS_FILE, numbers)


def known_orderings() -> dict[str, dict[str, float]]:
    """Run id -> step of its probe -> area under the ROC curve."""
    return _known(ORDERINGS_FILE)


def keep_orderings(orderings: Mapping[str, Mapping[int, float]]) -> None:
    """Add orderings to the file."""
    numbers = {
        key: {str(step): area for step, area in sorted(areas.items())}
        for key, areas in orderings.items()
    }
    _keep(ORDERINGS_FILE, numbers)


def _with_orderings(pair: Pair, areas: Mapping[str, float]) -> Pair:
    """The pair whose probe was evaluated with these areas as well; its own, where it has them."""
    if not areas or JUMP not in pair.probes or ORDERING in pair.probes[JUMP].evals:
        return pair
    probe = pair.probes[JUMP]
    column = np.array([areas.get(str(int(step)), np.nan) for step in probe.eval_step])
    probes = {**pair.probes, JUMP: replace(probe, evals={**probe.evals, ORDERING: column})}
    return replace(pair, probes=probes)


def short_key(run: RunRecord) -> str:
    """What the signals of a short run depend on besides its learning rates."""
    s = run.settings
    return f"{s['dataset']} {s['train_rows']} {s['label_noise']} {s['method']}"


def short_runs() -> Iterator[ProbedRun]:
    """Runs of the reference library whose signals are known, but those of random weights."""
    signals = known_signals()
    for run in load_reference():
        static = signals.get(short_key(run)) if run.settings["model"] == "minilm" else None
        if static is None or run.settings["method"] == "scratch" or run.schedule is None:
            continue
        total = float(np.sum(run.schedule))
        static = static | {
            "schedule_rates": total,
            "schedule_gain": total * static["gradient_l1"],
        }
        probe = replace(run.prefix(max(6.0, _SHORT_SHARE * run.max_steps)), static=static)
        name = f"{run.settings['setting_id']}-s{run.settings['seed']}"
        yield ProbedRun(run, probe, name, "short")


def long_runs(depth: float, shards: Path) -> Iterator[ProbedRun]:
    """Classifiers of rows as a pre-flight sees them that trains this share of the run."""
    orderings = known_orderings()
    for pair, static in _long_pairs(shards):
        if JUMP in pair.probes:
            probed = probed_run(_with_orderings(pair, orderings.get(pair.run_id, {})), depth)
            yield replace(
                probed, probe=replace(probed.probe, static={**probed.probe.static, **static})
            )


def other_runs(depth: float, shards: Path) -> Iterator[ProbedRun]:
    """Runs of other tasks as a pre-flight sees them that trains this share of the run."""
    runs = store.read_all(shards) | store.read_all(shards, store.KINDS)
    for pair in pairs_of(run for runs_of in runs.values() for run in runs_of):
        if pair.run.settings["kind"] not in ROW_KINDS and JUMP in pair.probes:
            yield probed_run(pair, depth)


def long_full_runs(shards: Path) -> Iterator[ProbedRun]:
    """Long runs with the untrained model's signals, as a watcher sees them."""
    for pair, static in _long_pairs(shards):
        run = replace(pair.run, static=static)
        yield ProbedRun(run, run, pair.run_id, str(run.settings["recipe"]))


def _long_pairs(shards: Path) -> Iterator[tuple[Pair, dict[str, float]]]:
    """Classifiers of rows with known signals."""
    signals = known_signals()
    runs = store.read_all(shards)
    for pair in pairs_of(run for runs_of in runs.values() for run in runs_of):
        static = {**pair.run.static, **signals.get(pair.run_id, {})}
        if pair.run.settings["kind"] in ROW_KINDS and "schedule_gain" in static:
            yield pair, static
