"""Replays as one self-contained page with an interactive figure (extra `html`: plotly).

The page holds plotly's JavaScript itself: nothing is fetched when it is opened.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from hf_ftrisk._version import __version__
from hf_ftrisk.extras import named_extras
from hf_ftrisk.replay.batch import Replayer
from hf_ftrisk.replay.compare import Comparison
from hf_ftrisk.replay.replay import Replay
from hf_ftrisk.replay.text import comparison_text, findings, goal_words, how_far, look_rows
from hf_ftrisk.report.wording import share, value
from hf_ftrisk.text import printable, visible

# Steps that the slider stops at, for one run and for each of many.
_STOPS, _STOPS_OF_MANY = 60, 20
# Values of a curve that are drawn.
_MAX_POINTS = 2000
_PERCENT = re.compile(r"(?<=\d) (?=%)")


def page(
    replays: Sequence[Replay],
    replayer: Replayer,
    compared: Comparison | None = None,
) -> str:
    """The page as HTML.

    Args:
        replays: the runs, in the order they are listed in; one is shown without a table of runs.
        replayer: what replayed them: it is asked for the forecasts between.
        compared: one run beside another.

    Raises:
        MissingExtraError: plotly is not installed (``pip install "hf-ftrisk[html]"``).
    """
    with named_extras():
        from plotly.offline import get_plotlyjs
    one = len(replays) == 1
    stops = _STOPS if one else _STOPS_OF_MANY
    text = (files("hf_ftrisk.replay") / "page.html.jinja").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    runs = [_run(replay, replayer, stops, compared) for replay in replays]
    return template.render(
        # A script ends at "</script>", wherever it stands.
        data=json.dumps(runs, allow_nan=False).replace("<", "\\u003c"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        title=printable(replays[0].name) if one else f"{len(replays)} runs",
        one=one,
        version=__version__,
    )


def _run(
    replay: Replay, replayer: Replayer, stops: int, compared: Comparison | None
) -> dict[str, Any]:
    """What the page shows of a run."""
    record, goal = replay.record, replay.goal
    steps, values = record.finite(goal.metric)
    dense = _dense(replay, replayer, stops)
    limit = goal.threshold(replay.baseline)
    verdict = {None: "not known", True: "good", False: "poor"}[replay.good]
    return {
        "name": printable(replay.name),
        "metric": printable(goal.metric),
        "steps": _thin(steps),
        "values": _thin(values),
        "end": record.max_steps,
        "reached": record.last_step,
        "limit": limit,
        "limitName": "target" if goal.target is not None else "trivial baseline",
        "stopped": replay.stopped_at,
        "outcome": _number(replay.outcome),
        "outcomeWords": "-" if replay.outcome is None else value(replay.outcome, goal),
        "verdict": verdict,
        "keep": _kept_step(replay),
        "looks": dense,
        "lead": _unbroken(_lead(replay)),
        "goal": visible(f"{how_far(record)}; goal: {goal_words(replay)}"),
        "table": look_rows(replay) if replay.looks else [],
        "findings": [[label, _unbroken(visible(text))] for label, text in findings(replay)],
        "compared": "" if compared is None else visible(comparison_text(compared, goal)),
        "diagnoses": ", ".join(diagnosis.name for diagnosis in replay.diagnoses),
    }


def _kept_step(replay: Replay) -> int | None:
    """Step of the evaluation to keep; None where none is worth it."""
    keep = replay.keep
    return None if keep is None or keep.beats_baseline is False else keep.step


def _unbroken(text: str) -> str:
    """Text whose percentages stay on one line."""
    return _PERCENT.sub("\u00a0", text)


def _lead(replay: Replay) -> str:
    """The two things to know first: how it ended, and whether it would have been stopped."""
    record, goal = replay.record, replay.goal
    if replay.outcome is None:
        ended = f"The run is {record.status}, at step {record.last_step} of {record.max_steps}"
    else:
        judged = {None: "", True: ": a good run", False: ": a poor run"}[replay.good]
        ended = f"It ended with {printable(goal.metric)} {value(replay.outcome, goal)}{judged}"
    if replay.stopped_at is None:
        return f"{ended}. It would not have been stopped."
    return (
        f"{ended}. It would have been stopped at step {replay.stopped_at} of {record.max_steps}, "
        f"with {share(replay.saved_share)} of the run saved."
    )


def _dense(replay: Replay, replayer: Replayer, stops: int) -> list[dict[str, Any]]:
    """Forecasts at evaluations, evenly thinned: the slider's stops."""
    record = replay.record
    if not replay.looks:
        return []
    steps = np.union1d(record.finite(replay.goal.metric)[0], [look.step for look in replay.looks])
    steps = steps[(steps > 0) & (steps <= record.last_step)]
    if steps.size > stops:
        steps = steps[np.unique(np.linspace(0, steps.size - 1, stops).round().astype(int))]
    reached = record.last_step / record.max_steps
    shares = [min((step + 0.5) / record.max_steps, reached, 1.0) for step in steps.tolist()]
    dense_replay = replayer.replay_record(record, replay.name, goal=replay.goal, shares=shares)
    points = []
    for look in dense_replay.looks:
        words = f"step {look.step} ({share(look.step / record.max_steps)})"
        last = "not evaluated yet" if look.observed is None else value(look.observed, replay.goal)
        forecast = (
            f"{value(look.median, replay.goal)} (90 %: {value(look.low, replay.goal)} to "
            f"{value(look.high, replay.goal)})"
        )
        points.append(
            {
                "step": look.step,
                "last": _number(look.observed),
                "median": _number(look.median),
                "low": _number(look.low),
                "high": _number(look.high),
                "words": {
                    "at": words,
                    "last": last,
                    "forecast": forecast,
                    "good": "-" if look.prob_good is None else f"{look.prob_good:.2f}",
                },
            }
        )
    return points


def _thin(values: np.ndarray) -> list[float]:
    if values.size > _MAX_POINTS:
        values = values[np.linspace(0, values.size - 1, _MAX_POINTS).round().astype(int)]
    return [float(x) for x in values]


def _number(number: float | None) -> float | None:
    return number if number is None or math.isfinite(number) else None
