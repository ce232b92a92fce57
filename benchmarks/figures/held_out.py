"""Long recordings watched by what knows nothing of their data set: a table, and README's run.

    python -m benchmarks.figures.held_out                              # printed
    python -m benchmarks.figures.held_out --write docs/evidence/policy.md

Each run is forecast by models fitted without the fold of its data set, and judged by the packaged
rule at 5 % without that data set's scores: once by its forecasts alone, once with the untrained
model's signals, as after a pre-flight. Also written: ``docs/assets/held-out-run.json``, the
report of `SHOWN`, from which `python -m benchmarks.figures` draws README's figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import compress
from pathlib import Path

from benchmarks.decisions.sources import known_signals
from benchmarks.decisions.watching import calibrated_looks, read_looks
from benchmarks.forecasting.held_out import fold_of, forecaster_without
from benchmarks.watched import write_table
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import look_forecasts
from hf_ftrisk.policy.grid import look_steps
from hf_ftrisk.policy.packaged import reference_scores
from hf_ftrisk.policy.parts.rule import PartsRule
from hf_ftrisk.policy.parts.watching import judges
from hf_ftrisk.policy.rule import StoppingRule
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import packaged
from hf_ftrisk.reference.table import RecordedRun, read_runs
from hf_ftrisk.report import Cost, Look, RiskReport
from hf_ftrisk.verdict import Verdict

METRIC, RATE = "eval_accuracy", 0.05
# A poor run that was stopped; the labels of its training rows are the next class's.
SHOWN = "tweet_emotion-minilm-2-full-b46f3b0e15-s26"
REPORT = Path("docs/assets/held-out-run.json")


@dataclass(frozen=True)
class Watched:
    """One long recording.

    Args:
        name: of the run.
        recipe: how it was set up; sound, or with what fault.
        good: whether it beat its trivial baseline.
        stopped_at: step at which it would have been stopped, None if never.
        informed: whether the untrained model's signals are known, and the rule judges by them.
        informed_stop: step at which it would have been stopped with them, None if never.
        report: what was forecast until then, and how it ended.
    """

    name: str
    recipe: str
    good: bool
    stopped_at: int | None
    informed: bool
    informed_stop: int | None
    report: RiskReport


def watched() -> Iterator[Watched]:
    """All long recordings with an accuracy and a trivial baseline, fold by fold."""
    runs = [run for run in read_runs(packaged.LONG_RUNS_FILE) if run.probe is None]
    runs.sort(key=lambda run: fold_of(f"own {_data_set(run)}"))
    for run in runs:
        if METRIC in run.record.evals and run.record.baseline(Goal(METRIC)) is not None:
            yield _watch(run, forecaster_without(fold_of(f"own {_data_set(run)}")))


def _data_set(run: RecordedRun) -> str:
    return str(run.record.task).split("/")[0]


def rule_without(data_set: str, goal: Goal, forecaster: Predictor) -> StoppingRule:
    """The packaged rule without the scores of a data set; it may have no threshold."""
    packaged = reference_scores("score")
    assert packaged is not None
    packaged = packaged.of(goal)
    others = [group != data_set for group in packaged.groups]
    packaged = replace(
        packaged,
        scores=tuple(compress(packaged.scores, others)),
        groups=tuple(compress(packaged.groups, others)),
        judged=tuple(compress(packaged.judged, others)),
    )
    caution = packaged.caution(RATE)
    scores = () if caution is None else packaged.scores
    return StoppingRule(
        goal, forecaster, RATE, scores, borrowed=True, caution=caution or 2.0, source="packaged"
    )


def _watch(run: RecordedRun, forecaster: Predictor) -> Watched:
    record, goal = run.record, Goal(METRIC)
    baseline, outcome = record.baseline(goal), record.outcome(goal)
    rule = rule_without(_data_set(run), goal, forecaster)
    looks, stopped_at, forecast = [], None, None
    for step, forecast in zip(*look_forecasts(record, goal, forecaster), strict=True):
        looks.append(Look.of(int(step), forecast, goal, baseline=baseline))
        if rule.judge(record.prefix(float(step))).verdict is Verdict.NO_GO:
            stopped_at = int(step)
            break
    static = {**record.static, **known_signals().get(run.run_id, {})}
    with_signals = replace(record, static=static)
    informed = "schedule_gain" in static and judges(with_signals, goal)
    informed_stop = None
    if informed:
        informed_stop = _stop(with_signals, replace(rule, parts=_parts_without(_data_set(run))))
    good = goal.meets(outcome, baseline)
    report = RiskReport(
        goal=goal,
        verdict=Verdict.GO if good else Verdict.NO_GO,
        reasons=(),
        cost=Cost(full_steps=record.max_steps, spent_steps=stopped_at or record.max_steps),
        stage="watch",
        forecast=forecast,
        baseline=baseline,
        looks=tuple(looks),
        run=record,
        outcome=outcome,
        stopped_at=stopped_at,
    )
    recipe = str(record.settings.get("recipe"))
    return Watched(run.run_id, recipe, good, stopped_at, informed, informed_stop, report)


def _stop(record: RunRecord, rule: StoppingRule) -> int | None:
    """Step of the first look that ends the run."""
    for step in look_steps(record.max_steps, record.eval_step).tolist():
        if rule.judge(record.prefix(float(step))).verdict is Verdict.NO_GO:
            return int(step)
    return None


@cache
def _parts_without(data_set: str) -> PartsRule:
    """The rule on parts, fitted without a data set."""
    return calibrated_looks([look for look in read_looks() if look.dataset != data_set])


def table_text(runs: Sequence[Watched]) -> str:
    """One row a run: good ones that were stopped first, then poor ones that were not."""
    informed = [run for run in runs if run.informed]
    lines = [
        f"{_share(runs, True)} good runs and {_share(runs, False)} poor ones were stopped by their "
        "forecasts alone; of those whose signals are known, with them, "
        f"{_share(informed, True, True)} good runs and {_share(informed, False, True)} poor ones.",
        "",
        "| run | recipe | trivial | outcome | | stopped at | with signals at | of steps |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for run in sorted(runs, key=_worst_first):
        report = run.report
        word = "good" if run.good else "poor"
        with_signals = (run.informed_stop or "-") if run.informed else "not known"
        lines.append(
            f"| {run.name} | {run.recipe} | {report.baseline:.3f} | {report.outcome:.3f} | {word} "
            f"| {run.stopped_at or '-'} | {with_signals} | {report.cost.full_steps} |"
        )
    return "\n".join(lines)


def _worst_first(run: Watched) -> tuple[bool, bool, str]:
    stops = (run.stopped_at, run.informed_stop) if run.informed else (run.stopped_at,)
    right = [(stop is None) == run.good for stop in stops]
    return all(right), not run.good, run.name


def _share(runs: Sequence[Watched], good: bool, informed: bool = False) -> str:
    of = [
        (run.informed_stop if informed else run.stopped_at) is not None
        for run in runs
        if run.good == good
    ]
    return f"{sum(of)} of {len(of)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="page to put the table into")
    options = parser.parse_args()
    runs = list(watched())
    text = table_text(runs)
    print(text)
    if options.write:
        write_table(options.write, "long", text)
        REPORT.parent.mkdir(exist_ok=True)
        next(run.report for run in runs if run.name == SHOWN).save(REPORT)


if __name__ == "__main__":
    main()
