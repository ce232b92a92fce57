"""What `rank` has to beat: random, last values, halving, ASHA, Hyperband, medians, patience.

Each chooses the best last value among the candidates it has trained deepest (at the highest rung),
which is what these methods return.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.selection.replay import Bench, Method


def random_choice(bench: Bench, rng: np.random.Generator) -> int:
    return int(rng.integers(bench.size))


def last_value(share: float) -> Method:
    """All candidates to a share of their run; the best last value."""

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        for i in rng.permutation(bench.size).tolist():
            bench.reach(i, share)
        return bench.best_seen()

    return choose


def successive_halving(eta: int) -> Method:
    """Equal parts of the budget to each rung (Karnin, Koren and Somekh 2013; Jamieson 2016)."""

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        alive = rng.permutation(bench.size).tolist()
        rounds = max(1, math.ceil(math.log(bench.size) / math.log(eta) - 1e-9))
        each = bench.budget / rounds
        for r in range(rounds):
            limit = each * (r + 1)
            moved = True
            while moved:  # one evaluation each in turn, as far as the rung's part goes
                moved = False
                for i in sorted(alive, key=bench.share):
                    whole, bench.budget = bench.budget, limit
                    moved = bench.advance(i) or moved
                    bench.budget = whole
            alive = sorted(alive, key=bench.last, reverse=True)[: max(1, len(alive) // eta)]
        return alive[0]

    return choose


def asha(eta: int, least: float) -> Method:
    """Asynchronous successive halving with one worker (Li et al. 2020).

    Args:
        eta: reduction factor.
        least: share of the run of the first rung.
    """

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        fresh = rng.permutation(bench.size).tolist()
        rungs = [least]
        while rungs[-1] < 1.0:
            rungs.append(min(1.0, rungs[-1] * eta))
        reached: list[dict[int, float]] = [{} for _ in rungs]
        while True:
            job = None
            for k in range(len(rungs) - 2, -1, -1):
                top = sorted(reached[k], key=lambda i: reached[k][i], reverse=True)
                top = top[: len(reached[k]) // eta]
                waiting = [i for i in top if i not in reached[k + 1]]
                if waiting:
                    job = (waiting[0], k + 1)
                    break
            if job is None and fresh:
                job = (fresh.pop(0), 0)
            if job is None:
                break
            i, k = job
            if not bench.reach(i, rungs[k]):
                break
            reached[k][i] = bench.last(i)
        for rung in reversed(reached):
            if rung:
                return max(rung, key=lambda i: rung[i])
        return int(rng.integers(bench.size))

    return choose


def hyperband(eta: int, least: float) -> Method:
    """Brackets of successive halving from the most to the least aggressive (Li et al. 2018)."""

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        depth = math.floor(math.log(1.0 / least) / math.log(eta) + 1e-9)
        order = rng.permutation(bench.size).tolist()
        weights = np.array([eta**s / (s + 1) for s in range(depth, -1, -1)])
        sizes = np.maximum(1, np.floor(len(order) * weights / weights.sum())).astype(int)
        sizes[0] += len(order) - int(sizes.sum())
        at = 0
        for s, size in zip(range(depth, -1, -1), sizes.tolist(), strict=True):
            alive, at = order[at : at + size], at + size
            for k in range(s + 1):
                share = min(1.0, eta ** (k - s))
                if not all(bench.reach(i, share) for i in alive):
                    return bench.best_seen()
                alive = sorted(alive, key=bench.last, reverse=True)
                alive = alive[: max(1, len(alive) // eta)]
        return bench.best_seen()

    return choose


def optuna_median(bench: Bench, rng: np.random.Generator) -> int:
    """Optuna's own MedianPruner, trial after trial, with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    for i in rng.permutation(bench.size).tolist():
        trial = study.ask()
        pruned = False
        while bench.advance(i):
            trial.report(bench.last(i), bench.at[i])
            if trial.should_prune():
                pruned = True
                break
        if not pruned and not bench.finished(i):
            break
        state = optuna.trial.TrialState.PRUNED if pruned else None
        study.tell(trial, None if pruned else bench.last(i), state=state)
    return bench.best_seen()


def patience(rounds: int) -> Method:
    """Each candidate in turn until it has not improved for so many evaluations."""

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        best: dict[int, float] = {}
        for i in rng.permutation(bench.size).tolist():
            since = 0
            while since < rounds and bench.advance(i):
                if bench.last(i) > best.get(i, -math.inf):
                    best[i], since = bench.last(i), 0
                else:
                    since += 1
        return max(best, key=lambda i: best[i]) if best else int(rng.integers(bench.size))

    return choose


def signal_alone(name: str, sign: float) -> Method:
    """The candidate whose untrained model looks best; no step is trained, ties are drawn.

    Args:
        name: a static signal that all candidates have.
        sign: 1 where more of it is better, -1 where less is.
    """

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        order = rng.permutation(bench.size).tolist()
        return max(order, key=lambda i: sign * bench.pool.runs[i].record.static[name])

    return choose


# What is known of a candidate before any step; only recordings of the project have it.
BEFORE: dict[str, Method] = {
    "LogME alone": signal_alone("log_me", 1.0),
    "zero-shot loss alone": signal_alone("zero_shot_loss", -1.0),
}
BASELINES: dict[str, Method] = {
    "random": random_choice,
    "last value at 10 %": last_value(0.1),
    "last value at 20 %": last_value(0.2),
    "last value at 30 %": last_value(0.3),
    "full runs": last_value(1.0),
    "successive halving, 2": successive_halving(2),
    "successive halving, 3": successive_halving(3),
    "ASHA, 2": asha(2, 1 / 16),
    "ASHA, 3": asha(3, 1 / 27),
    "ASHA, 4": asha(4, 1 / 16),
    "Hyperband, 3": hyperband(3, 1 / 9),
    "median pruning (Optuna)": optuna_median,
    "patience 2": patience(2),
}
