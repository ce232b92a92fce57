"""The page's tables and the sentences that go with them, all from the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.paper.bound import LEVEL, OWN, Bound
from benchmarks.paper.depth import PRICES
from benchmarks.paper.forms import FORMS, HeldOut
from benchmarks.paper.regimes import Naming, Place
from benchmarks.paper.risks import OURS, Replay, has_many_seeds
from benchmarks.paper.signals import SEEDS, SHARES, Explained, ProbeSeeds, nearest, same_steps
from hf_ftrisk.text import percent

Names = Mapping[str, tuple[str, Sequence[Naming]]]
Forms = Sequence[Mapping[str, Mapping[str, HeldOut]]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Markdown table; the first columns to the left, numbers to the right."""
    ruler = "| " + " | ".join(["---"] * left + ["---:"] * (len(head) - left)) + " |"
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", ruler, *body])


def points(replay: Replay, value: float) -> str:
    """A root of a risk in points, or in thousandths of a loss."""
    return f"{replay.task.scale * value:.1f}"


def risk_table(replays: Sequence[Replay]) -> str:
    """Root of U(c) by depth, replayed and as probes say it."""
    shares = (0.1, 0.2, 0.3, 0.5, 0.8)
    rows = []
    for replay in replays:
        root = np.sqrt(replay.risk(replay.best))
        spread = np.sqrt((replay.spread**2).mean(axis=0))
        at = [nearest(replay, share) for share in shares]
        rows.append(
            (
                replay.task.name,
                replay.best,
                str(len(replay.task.runs)),
                points(replay, float(replay.task.ends.std(ddof=1))),
                *(points(replay, float(root[j])) for j in at),
                points(replay, float(spread[at[1]])),
            )
        )
    head = ["task", "best predictor", "seeds", "sd of the outcome"]
    return table([*head, *(percent(s) for s in shares), "by probe, 20 %"], rows, left=2)


def forms_table(replays: Sequence[Replay], forms: Forms) -> str:
    """Forms on depths left out, by schedule and over all tasks."""
    groups: dict[str, list[int]] = {}
    for i, replay in enumerate(replays):
        task = replay.task
        groups.setdefault("all tasks", []).append(i)
        if falls(replay):
            groups.setdefault("risk falls by a third and more", []).append(i)
        if has_many_seeds(task):
            groups.setdefault("40 seeds and more", []).append(i)
        warm = ", warm-up" if task.warmup > 0 and "warmup" not in task.scheduler else ""
        groups.setdefault(f"{task.scheduler}{warm}", []).append(i)
    rows = []
    for way in ("between", "beyond"):
        for group, members in groups.items():
            gains = {f: float(np.mean([forms[i][way][f].gain for i in members])) for f in FORMS}
            best = max(gains, key=gains.__getitem__)
            cells = [f"**{gains[f]:+.2f}**" if f == best else f"{gains[f]:+.2f}" for f in FORMS[1:]]
            rows.append((f"{way}: {group}", str(len(members)), *cells))
    return table(["depths left out", "tasks", *FORMS[1:]], rows)


def falls(replay: Replay) -> bool:
    """Whether depth removes a third of the risk at the first depth, or more."""
    risk = replay.risk(replay.best)
    return bool(risk[0] >= 1.5 * risk[-1])


def form_wins(forms: Forms, way: str) -> Mapping[str, int]:
    """Form -> number of tasks on whose left-out depths it is the likeliest."""
    best = [max(one[way], key=lambda form, one=one: one[way][form].gain) for one in forms]
    return {form: best.count(form) for form in FORMS}


def bound_table(bounds: Sequence[Mapping[str, Bound]]) -> str:
    rows = []
    for name in dict.fromkeys(name for one in bounds for name in one):
        bounds_of = [one[name] for one in bounds if name in one]
        rows.append(
            (
                name,
                percent(np.mean([b.below for b in bounds_of]), ".1f"),
                f"{100 * np.mean([b.excess for b in bounds_of]):+.1f}",
                percent(np.mean([b.steeper for b in bounds_of]), ".1f"),
                f"{sum(b.falls > b.envelope for b in bounds_of)} of {len(bounds_of)}",
                f"{np.median([b.falls for b in bounds_of]):.1f}",
            )
        )
    return table(
        [
            "predictor",
            "risks below the envelope",
            "points more than the envelope's own",
            "splits steeper, and below at the end",
            "tasks where its risk falls by a larger factor",
            "median factor",
        ],
        rows,
    )


def phase_table(replays: Sequence[Replay], places: Sequence[Place]) -> str:
    rows = []
    for replay, place in zip(replays, places, strict=True):
        low, middle, high = place.intrinsic
        first, alpha, last = place.alpha
        fit = place.fit
        probability = max(fit.regime_probabilities.values(), default=float("nan"))
        exponent = f"{alpha:.1f} ({first:.1f} to {last:.1f})"
        if fit.alpha is None:
            exponent = "-" if np.isnan(alpha) else f"[{exponent}]"
        rows.append(
            (
                replay.task.name,
                str(len(replay.task.runs)),
                f"{points(replay, middle)} ({points(replay, low)} to {points(replay, high)})",
                exponent,
                f"{percent(place.reducible[1])} "
                f"({percent(place.reducible[0])} to {percent(place.reducible[2])})",
                f"{fit.regime}, {probability:.2f}",
                percent(place.agree),
            )
        )
    head = ["task", "seeds", "root of L_int", "alpha", "reducible", "regime", "resamples agree"]
    return table(head, rows)


def naming_table(names: Names) -> str:
    counts = sorted({one.seeds for _, namings in names.values() for one in namings})
    rows = []
    for task, (regime, namings) in names.items():
        by_count = {one.seeds: one for one in namings}
        cells = []
        for count in counts:
            one = by_count.get(count)
            right = "" if one is None or np.isnan(one.right) else f", {percent(one.right)} right"
            cells.append("-" if one is None else f"{percent(one.named)}{right}")
        rows.append((task, regime, *cells))
    return table(["task", "all seeds say", *(f"{c} seeds" for c in counts)], rows, left=2)


def regret_table(regret: Mapping[str, np.ndarray]) -> str:
    rows = [
        (rule, *(f"{100 * v:.1f}" for v in values), f"{100 * values.mean():.1f}")
        for rule, values in regret.items()
    ]
    return table(["rule", *(f"price {p:g}" for p in PRICES), "mean"], rows)


def explained_table(explained: Mapping[str, Explained]) -> str:
    rows = [
        (
            regime,
            str(one.tasks),
            percent(one.between),
            percent(one.static),
            *(percent(share) for share in one.dynamic),
        )
        for regime, one in explained.items()
    ]
    head = ["regime", "tasks", "between the tasks", "forecast before a step"]
    return table([*head, *(f"after {percent(s)}" for s in SHARES)], rows)


def seeds_table(tasks: Sequence[ProbeSeeds]) -> str:
    """Medians over the tasks of errors in points."""
    other = 100 * np.median([one.other for one in tasks], axis=0)
    own = 100 * np.median([one.own for one in tasks], axis=0)
    rows = [
        (f"{count} of other seeds", *(f"{v:.1f}" for v in line))
        for count, line in zip(SEEDS, other, strict=True)
    ]
    rows.append(("its own beginning", *(f"{v:.1f}" for v in own)))
    return table(["probes", *(f"to {percent(s)}" for s in SHARES)], rows)


# --- sentences -----------------------------------------------------------------------------------


def summary(
    replays: Sequence[Replay],
    places: Sequence[Place],
    forms: Forms,
    bounds: Sequence[Mapping[str, Bound]],
    names: Names,
    regret: Mapping[str, np.ndarray],
    explained: Mapping[str, Explained],
    seeds: Sequence[ProbeSeeds],
) -> str:
    """One sentence or two for each claim."""
    lines = [
        _corpus(replays),
        _decay(replays, forms),
        _bound(bounds),
        _phase(places, names),
        _regret(regret),
        _static(explained),
        _worth(seeds),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _corpus(replays: Sequence[Replay]) -> str:
    many = sum(has_many_seeds(replay.task) for replay in replays)
    return (
        f"**What it rests on**: {len(replays)} tasks, {many} of them with 40 seeds or more and "
        f"{len(replays) - many} with 8 or a little more; "
        f"{sum(len(r.task.runs) for r in replays)} runs."
    )


def _decay(replays: Sequence[Replay], forms: Forms) -> str:
    flat = sum(not falls(replay) for replay in replays)
    ratio = [np.median((r.spread**2).mean(axis=0) / r.risk(OURS[0])) for r in replays]
    between, beyond = form_wins(forms, "between"), form_wins(forms, "beyond")
    ahead = {
        way: sum(one[way]["tail energy"].gain > one[way]["finite horizon"].gain for one in forms)
        for way in ("between", "beyond")
    }
    wins_in_words = "; ".join(
        f"{way} the fitted depths " + ", ".join(f"{f} {n}" for f, n in wins.items() if n)
        for way, wins in (("between", between), ("beyond", beyond))
    )
    return (
        f"**(i) The risk falls with depth** on {len(replays) - flat} of {len(replays)} tasks; on "
        f"{flat} it falls by less than a third over the whole run. Probes call their squared "
        f"error {np.median(ratio):.1f} times what replay finds (median over tasks). Likeliest "
        f"form, tasks: {wins_in_words}. The tail energy is ahead of the finite horizon on "
        f"{ahead['between']} tasks between the fitted depths and on {ahead['beyond']} beyond them."
    )


def _bound(bounds: Sequence[Mapping[str, Bound]]) -> str:
    """The predictor that is below most often, against the envelope's own in the same splits."""
    others = [(name, one[name]) for one in bounds for name in one if name != OWN]
    excess = {
        name: float(np.mean([bound.excess for other, bound in others if other == name]))
        for name, _ in others
    }
    worst = max(excess, key=excess.__getitem__)
    own = float(np.mean([one[OWN].below for one in bounds]))
    steeper = sum(bound.falls > bound.envelope for _, bound in others)
    verdict = "holds as a level" if excess[worst] <= LEVEL else "does not hold as a level"
    return (
        f"**(ii) The bound** {verdict}: on seeds that it was not fitted to, the envelope's own "
        f"predictor is below it in {percent(own, '.1f')} of the cases (an F test at "
        f"{percent(LEVEL)}; errors have heavy tails), and of the others {worst} most "
        f"often: {100 * excess[worst]:+.1f} points "
        f"more than that in the same splits. As a slope it does not hold: in {steeper} of "
        f"{len(others)} pairs of task and predictor the risk falls by a larger factor than the "
        "envelope's, because it starts higher."
    )


def _phase(places: Sequence[Place], names: Mapping[str, tuple[str, Sequence[Naming]]]) -> str:
    regimes = [place.fit.regime for place in places]
    counts = ", ".join(f"{regimes.count(name)} {name}" for name in dict.fromkeys(sorted(regimes)))
    exponents = sum(place.fit.alpha is not None for place in places)
    agree = float(np.mean([place.agree for place in places]))
    shares = []
    for count in (3, 8, 20):
        namings = [o for _, all_of in names.values() for o in all_of if o.seeds == count]
        if namings:
            right = np.mean([o.named * (o.right if o.named else 0.0) for o in namings])
            wrong = np.mean([o.named * (1.0 - o.right if o.named else 0.0) for o in namings])
            shares.append(f"{count} seeds {percent(right)} (and another one {percent(wrong)})")
    return (
        f"**(iii) Regimes**: {counts}. Resampling the seeds names the same in {percent(agree)}. "
        f"The exponent alpha is a number on {exponents} of {len(places)} tasks. Where 40 seeds are "
        f"known, and the best forecaster given, their regime is named by {', by '.join(shares)}."
    )


def _regret(regret: Mapping[str, np.ndarray]) -> str:
    mean = {rule: 100 * float(values.mean()) for rule, values in regret.items()}
    fixed = {rule: value for rule, value in mean.items() if rule.startswith("always")}
    best = min(fixed, key=fixed.__getitem__)
    better = [rule for rule in mean if rule not in fixed and mean[rule] < fixed[best]]
    worse = [rule for rule in mean if rule not in fixed and rule not in better]

    def told(rules: Sequence[str]) -> str:
        return "; ".join(f"{rule} {mean[rule]:.0f} %" for rule in rules) or "none"

    return (
        f"**(iv) Optimal depth**: mean regret over tasks and prices, of the risk before probing. "
        f"The best fixed depth ({best.removeprefix('always ')}) {fixed[best]:.0f} %. Better: "
        f"{told(better)}. Worse: {told(worse)}."
    )


def _static(explained: Mapping[str, Explained]) -> str:
    one = explained["all"]
    return (
        f"**(v) Static against dynamic**: over {one.tasks} tasks {percent(one.between)} of the "
        f"variance of the ends lies between the tasks; the forecast before a step explains "
        f"{percent(one.static)}, after {percent(SHARES[0])} of the run {percent(one.dynamic[0])}, "
        f"after {percent(SHARES[-1])} {percent(one.dynamic[-1])}."
    )


def _worth(seeds: Sequence[ProbeSeeds]) -> str:
    ratios = ", ".join(
        f"{count} to {percent(SHARES[0])} leave {same_steps(seeds, count, share):.2f} times the "
        f"error of one to {percent(share)}"
        for count, share in ((2, 0.2), (3, 0.3), (5, 0.5))
    )
    return f"**(vi) Probe seeds**: for the same steps, {ratios} (geometric means over tasks)."
