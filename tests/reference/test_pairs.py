from __future__ import annotations

import numpy as np

from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import pairs_of
from hf_ftrisk.reference.table import RecordedRun


def recorded(run_id: str, loss: float, probe: str | None = None, depth: float | None = None):
    record = RunRecord(max_steps=1, train_step=np.array([1]), train_loss=np.array([loss]))
    return RecordedRun(record, run_id, run_id, 1.0, "cpu", probe, depth)


def test_a_pair_holds_the_run_and_its_own_probes_by_kind_and_depth():
    first, second = pairs_of(
        [
            recorded("a", 1.0),
            recorded("a", 2.0, "squeezed", 0.05),
            recorded("a", 3.0, "jump", 0.1),
            recorded("b", 4.0),
        ]
    )
    assert (first.run_id, first.run.train_loss.tolist()) == ("a", [1.0])
    assert {key: probe.train_loss[0] for key, probe in first.probes.items()} == {
        ("squeezed", 0.05): 2.0,
        ("jump", 0.1): 3.0,
    }
    assert (second.run_id, dict(second.probes)) == ("b", {})


def test_a_probe_whose_run_is_missing_makes_no_pair():
    assert pairs_of([recorded("a", 2.0, "jump", 0.1)]) == ()
