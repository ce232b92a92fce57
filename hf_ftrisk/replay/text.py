"""A replay as plain text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.replay.compare import Comparison
from hf_ftrisk.replay.finish import ReplayFinish
from hf_ftrisk.replay.keep import Keep
from hf_ftrisk.replay.replay import Replay, ReplayLook
from hf_ftrisk.replay.screen import sparkline
from hf_ftrisk.replay.summary import Summary
from hf_ftrisk.report.wording import share, value
from hf_ftrisk.text import printable

_WIDTH = 100
# Metrics named besides the goal's, and the longest name of a run in a table.
_SHOWN = 5
_NAME = 44


def replay_text(replay: Replay) -> str:
    """One run: what was known, the forecasts by depth, the stop, the outcome, the diagnoses."""
    lines = [
        f"{printable(replay.name)}: {how_far(replay.record)}",
        *_entry("goal", goal_words(replay)),
        "",
    ]
    if replay.looks:
        lines += [*_aligned(look_rows(replay)), ""]
    for label, text in findings(replay):
        lines += _entry(label, text)
    return "\n".join(lines)


def look_rows(replay: Replay) -> list[tuple[str, ...]]:
    """A table of the forecasts, its heading first."""
    heading = ("depth", "step", "last", "best", "forecast", "90 % interval", "P(good)")
    return [heading, *(_look_row(replay, look) for look in replay.looks)]


def findings(replay: Replay) -> list[tuple[str, str]]:
    """What is to be said of a run, each with its label: the stop, the outcome, the diagnoses."""
    if replay.stopped_at is not None:
        saved = share(replay.saved_share)
        stop = f"at step {replay.stopped_at}, {saved} of the run saved. {replay.reason}"
    else:
        stop = f"never. {replay.reason or ''}".rstrip()
    labeled = [("stopped", stop)]
    if replay.finish is not None:
        labeled.append(("finished", _finish_words(replay.finish, replay)))
    labeled.append(("outcome", _outcome_words(replay)))
    if replay.keep is not None:
        labeled.append(("keep", keep_words(replay.keep, replay.goal, replay.baseline)))
    labeled += [(one.name, f"{one.message} {one.advice}") for one in replay.diagnoses]
    return labeled + [("note", note) for note in _notes(replay)]


def keep_words(keep: Keep, goal: Goal, baseline: float | None = None) -> str:
    """Which checkpoint to keep, and what it is worth beside the last and the trivial baseline.

    Args:
        keep: the best evaluation and its checkpoint.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric, None if unknown.
    """
    best = f"{goal.metric} {value(keep.value, goal)}"
    last = "" if keep.step == keep.last_step else f"; the last has {value(keep.last, goal)}"
    if keep.step == 0:
        return f"none: no evaluation was better than the untrained model's, {best}{last}"
    if keep.beats_baseline is False:
        return (
            f"none: no evaluation was better than the trivial baseline, {value(baseline, goal)}; "
            f"the best was {best} at step {keep.step}{last}"
        )
    if keep.checkpoint is None:
        return f"the checkpoint of step {keep.step}, the best evaluation: {best}{last}"
    if keep.checkpoint == f"checkpoint-{keep.step}":
        return f"{keep.checkpoint}, the best evaluation: {best}{last}"
    checkpoint_value = keep.checkpoint_value
    worth = (
        "not evaluated there"
        if checkpoint_value is None
        else f"{goal.metric} {value(checkpoint_value, goal)}"
    )
    return (
        f"{keep.checkpoint} ({worth}), the best that lies beside this file; the best evaluation, "
        f"{value(keep.value, goal)} at step {keep.step}, has no checkpoint there"
    )


def comparison_text(comparison: Comparison, goal: Goal) -> str:
    """Two runs side by side, a line for each quantity at each depth, and where they part."""
    names = list(dict.fromkeys(row.name for row in comparison.rows))
    shares = sorted({row.share for row in comparison.rows})
    cells = {(row.name, row.share): row for row in comparison.rows}

    def cell(number: float | None, name: str) -> str:
        if number is None:
            return "-"
        return value(number, goal) if name == goal.metric else f"{number:.3g}"

    rows: list[tuple[str, ...]] = [("depth", *names)]
    for depth in shares:
        row_cells = [cells.get((name, depth)) for name in names]
        rows.append(
            (
                share(depth),
                *(
                    "-" if row is None else f"{cell(row.here, name)}, {cell(row.there, name)}"
                    for row, name in zip(row_cells, names, strict=True)
                ),
            )
        )
    lines = [
        f"compared with {printable(comparison.name)}, at equal shares of the planned steps, this "
        "run first:",
        *_aligned(rows),
        "",
    ]
    if comparison.behind_at is not None:
        lines.append(f"behind the other from {share(comparison.behind_at)} of the run on")
    worst = comparison.worst
    if worst is not None:
        lines += _entry(
            "look at",
            f"the {worst.name}, which differs most early in the run: "
            f"{cell(worst.here, worst.name)} here, {cell(worst.there, worst.name)} there, at "
            f"{share(worst.share)} of the run.",
        )
    return "\n".join(lines).rstrip()


def poor_first(replays: Sequence[Replay]) -> list[Replay]:
    """Replays by what needs attention: poor ones, stopped or diagnosed ones, the rest."""

    def need(replay: Replay) -> tuple[int, int, int, str]:
        poor = {False: 0, None: 1, True: 2}[replay.good]
        return poor, replay.stopped_at is None, -len(replay.diagnoses), replay.name

    return sorted(replays, key=need)


def how_far(record: RunRecord) -> str:
    """``finished, step 200 of 200``, with what was logged last where that is earlier."""
    if record.status != "finished" or record.last_step == record.max_steps:
        return f"{record.status}, step {record.last_step} of {record.max_steps}"
    return f"finished, {record.max_steps} steps, logged up to step {record.last_step}"


def _finish_words(finish: ReplayFinish, replay: Replay) -> str:
    if finish.finished_at is None:
        return f"never. {finish.reason}".rstrip()
    saved = share(1.0 - finish.finished_at / replay.record.max_steps)
    text = f"at step {finish.finished_at}, {saved} of the run saved, "
    text += f"{value(finish.given_up, finish.goal)} of {finish.goal.metric} given up"
    if finish.goal.metric != replay.goal.metric:
        text += " (by the training loss, which says less than evaluations would)"
    return f"{text}; keep the checkpoint of step {finish.best_step}. {finish.reason}"


def _entry(label: str, text: str) -> list[str]:
    """``label: text``, wrapped with a hanging indent."""
    return textwrap.wrap(f"{label}: {text}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _notes(replay: Replay) -> list[str]:
    record, goal = replay.record, replay.goal
    notes = list(replay.notes)
    stated = record.settings.get("stated_max_steps")
    if stated is not None:
        notes.append(
            f"the file plans {stated} steps and holds {record.max_steps}: it is read as a run of "
            f"{record.max_steps} steps that was resumed for longer."
        )
    if _never_evaluated(replay) and record.settings.get("reinforcement_learning"):
        notes.append(
            "a policy-gradient run without evaluations: its loss says nothing about the outcome. "
            "Evaluate a reward or a score and name it as the goal."
        )
    elif _never_evaluated(replay):
        after = " before the end of training" if goal.metric in record.final else ""
        have = ", ".join(sorted(record.evals, key=len)[:_SHOWN])
        instead = f"; {have} was, choose with --goal" if have and not replay.goal_inferred else ""
        notes.append(
            f"{goal.metric} was never evaluated{after}; forecasts rest on priors alone{instead}."
        )
    others = [name for name in sorted(record.evals, key=len) if name != goal.metric]
    if others and replay.goal_inferred:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        notes.append(f"also evaluated: {', '.join(others[:_SHOWN])}{more}; choose with --goal.")
    return notes


def _never_evaluated(replay: Replay) -> bool:
    record, metric = replay.record, replay.goal.metric
    return record.curve(metric)[0].size == 0 and metric not in record.nan_steps


def summary_text(replays: Sequence[Replay], summary: Summary) -> str:
    """A folder: one line for each run, then errors by depth and what the stops would have saved."""
    rows: list[tuple[str, ...]] = [
        ("run", "goal", "curve", "steps", "at 30 %", "outcome", "good", "stopped at")
    ]
    rows += [_run_row(replay) for replay in replays]
    lines = [*_aligned(rows, left=3), ""]
    if summary.depths:
        head = ("metric", "depth", "runs", "forecast", "last value", "best so far", "90 % held")
        table: list[tuple[str, ...]] = [head]
        table += [
            (
                depth.kind,
                share(depth.share),
                str(depth.runs),
                f"{depth.error:.3f}",
                f"{depth.last_error:.3f}",
                f"{depth.best_error:.3f}",
                share(depth.coverage),
            )
            for depth in summary.depths
        ]
        lines += ["mean absolute error (of the logarithm, capped at log 2, for losses)"]
        lines += [*_aligned(table, left=1), ""]
    good = (
        ""
        if summary.good is None
        else f", {summary.good} good of {summary.judged} that have a goal"
    )
    lines.append(f"{summary.runs} runs, {summary.finished} with an outcome{good}")
    lines.append(
        f"{summary.stopped} would have been stopped ({summary.stopped_good} of them good), "
        f"{share(summary.saved_share)} of all steps saved"
    )
    return "\n".join(lines)


def goal_words(replay: Replay) -> str:
    """What the run is judged by."""
    if replay.goal.target is not None:
        return str(replay.goal)
    if replay.baseline is None:
        return f"{replay.goal.metric}; no target, no trivial baseline known"
    return f"{replay.goal.metric} better than the trivial {value(replay.baseline, replay.goal)}"


def _look_row(replay: Replay, look: ReplayLook) -> tuple[str, ...]:
    goal = replay.goal
    return (
        share(look.share),
        str(look.step),
        "-" if look.observed is None else value(look.observed, goal),
        "-" if look.best is None else value(look.best, goal),
        value(look.median, goal),
        f"{value(look.low, goal)} to {value(look.high, goal)}",
        "-" if look.prob_good is None else f"{look.prob_good:.2f}",
    )


def _outcome_words(replay: Replay) -> str:
    if replay.outcome is None and _never_evaluated(replay):
        return f"not known, {replay.goal.metric} was never evaluated"
    if replay.outcome is None:
        _, values = replay.record.curve(replay.goal.metric)
        so_far = f"; so far {value(float(values[-1]), replay.goal)}" if values.size else ""
        return f"not known, the run is {replay.record.status}{so_far}"
    words = value(replay.outcome, replay.goal)
    if replay.good is not None:
        words += " (good)" if replay.good else " (poor)"
    n_inside = sum(look.low <= replay.outcome <= look.high for look in replay.looks)
    if replay.looks and math.isfinite(replay.outcome):
        words += f"; the 90 % interval contained it at {n_inside} of {len(replay.looks)} depths"
    return words


def _run_row(replay: Replay) -> tuple[str, ...]:
    looks = [look for look in replay.looks if look.share == 0.3]
    words = {None: "-", True: "yes", False: "no"}
    name = printable(replay.name)
    if len(name) > _NAME:
        name = f"{name[: _NAME // 2 - 2]}...{name[-(_NAME // 2 - 1) :]}"
    return (
        name,
        printable(replay.goal),
        sparkline(replay.record, replay.goal.metric),
        f"{replay.record.last_step}/{replay.record.max_steps}",
        value(looks[0].median, replay.goal) if looks else "-",
        "-" if replay.outcome is None else value(replay.outcome, replay.goal),
        words[replay.good],
        "-" if replay.stopped_at is None else str(replay.stopped_at),
    )


def _aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Rows as lines: the first `left` columns flush left, the others flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
