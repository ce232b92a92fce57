"""Pairs of a full run and what a pre-flight would have seen of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.table import RecordedRun


@dataclass(frozen=True, eq=False)
class Pair:
    """A full run and its probes, all from the same start (seed, data order, weights).

    Args:
        run: the full run.
        probes: (kind, depth) -> what the probe logged, as a record of its own; depth is its number
            of steps as a share of the full run's. Kind ``"squeezed"``: the whole schedule in so
            many steps. Kind ``"jump"``: the planned schedule from its peak on; cut it with
            ``prefix`` for a shorter one.
        run_id: stable name of the run.
        setting_id: stable name of its setting, shared by all seeds of the setting.
    """

    run: RunRecord
    probes: Mapping[tuple[str, float], RunRecord]
    run_id: str
    setting_id: str


def pairs_of(runs: Iterable[RecordedRun]) -> tuple[Pair, ...]:
    """Full runs with their probes, in the order of the full runs."""
    full: dict[str, RecordedRun] = {}
    probes: dict[str, dict[tuple[str, float], RunRecord]] = {}
    for run in runs:
        if run.probe is None or run.depth is None:
            full[run.run_id] = run
        else:
            probes.setdefault(run.run_id, {})[run.probe, run.depth] = run.record
    return tuple(
        Pair(run.record, probes.get(run_id, {}), run_id, run.setting_id)
        for run_id, run in full.items()
    )
