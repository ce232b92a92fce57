"""Tables of the planned tasks (`longruns.seeds`): what was expected of each, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.longruns.seeds import TASKS
from benchmarks.paper.evidence import Evidence
from benchmarks.paper.forms import FORMS
from benchmarks.paper.regimes import Naming
from benchmarks.paper.signals import nearest
from benchmarks.paper.tables import points, table
from hf_ftrisk.text import percent

NONE_YET = f"None of the {len(TASKS)} planned tasks has 8 recorded seeds yet."
SHARES = (0.1, 0.3, 0.5)
# A number of seeds names a regime when so many of their subsets do.
NAMED = 0.8


def in_plan(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Those of planned tasks, by name: settings that differ in one thing stand together."""
    mine = [one for one in evidence if one.task.expected is not None]
    return sorted(mine, key=lambda one: one.task.name)


def expected_table(evidence: Sequence[Evidence]) -> str:
    """Expected and found regime of every planned task, beside what its seeds came to."""
    rows = []
    for one in in_plan(evidence):
        replay, fit = one.replay, one.place.fit
        root = np.sqrt(replay.risk(replay.best))
        ends = replay.task.ends
        found = max(fit.regime_probabilities, key=fit.regime_probabilities.__getitem__)
        rows.append(
            (
                replay.task.name,
                str(ends.size),
                points(replay, float(ends.mean())),
                points(replay, float(ends.std(ddof=1))),
                *(points(replay, float(root[nearest(replay, share)])) for share in SHARES),
                points(replay, float(one.place.intrinsic[1])),
                str(replay.task.expected),
                fit.regime if fit.regime == found else f"{fit.regime} (likeliest: {found})",
                f"{fit.regime_probabilities[found]:.2f}",
                "-" if one.named is None else seeds_that_name(one.named[1]),
            )
        )
    head = ["task", "seeds", "mean end", "sd", *(f"U at {percent(share)}" for share in SHARES)]
    head += ["root of L_int", "expected", "found", "P", "seeds that name it"]
    return table(head, rows) if rows else NONE_YET


def seeds_that_name(namings: Sequence[Naming]) -> str:
    """The fewest seeds from which on `NAMED` of the subsets name what all seeds name."""
    fewest = None
    for one in sorted(namings, key=lambda one: -one.seeds):
        if one.named == 0.0 or one.named * one.right < NAMED:
            break
        fewest = one.seeds
    most = max((one.seeds for one in namings), default=0)
    return str(fewest) if fewest is not None else f"more than {most}"


def forms_table(evidence: Sequence[Evidence]) -> str:
    """Forms on depths left out, by planned task: one task under several schedules and warm-ups."""
    rows = []
    for way in ("between", "beyond"):
        for one in in_plan(evidence):
            gains = {form: one.forms[way][form].gain for form in FORMS}
            best = max(gains, key=gains.__getitem__)
            cells = [f"**{gains[f]:+.2f}**" if f == best else f"{gains[f]:+.2f}" for f in FORMS[1:]]
            rows.append((f"{way}: {one.task.name}", one.task.scheduler, *cells))
    return table(["depths left out", "schedule", *FORMS[1:]], rows, left=2) if rows else NONE_YET
