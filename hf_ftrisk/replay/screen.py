"""A replay drawn with characters: the trajectory, the forecast band, the stop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hf_ftrisk.record import RunRecord
from hf_ftrisk.replay.replay import Replay
from hf_ftrisk.report.wording import value
from hf_ftrisk.text import printable

_RUN, _BAND, _LINE, _STOP = "blue", "green", "gray", "red"
_TICKS = 5
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK = 10


def plot_text(replay: Replay, *, width: int = 80, height: int = 16, color: bool = False) -> str:
    """The plot and its legend, as lines for a terminal; empty where nothing was evaluated.

    Args:
        replay: what is drawn.
        width: columns.
        height: rows of the plot.
        color: with the codes that color a terminal.
    """
    steps, values = replay.record.finite(replay.goal.metric)
    if not steps.size:
        return ""
    import plotext  # takes its time to load, and most replays draw nothing

    low, high = _limits(replay, values)
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")

    def draw(x: Sequence[float], y: Sequence[float], shade: str, lines: bool = True) -> None:
        points = [(a, min(max(b, low), high)) for a, b in zip(x, y, strict=True)]
        marker = plotext.marker("braille" if lines else "·", shade)
        signal = figure.signal([a for a, _ in points], [b for _, b in points], marker=marker)
        figure.draw(signal.lines() if lines and len(points) > 1 else signal)

    limit = replay.goal.threshold(replay.baseline)
    end = replay.record.max_steps
    if limit is not None and low <= limit <= high:
        draw(np.linspace(0, end, width // 2).tolist(), [limit] * (width // 2), _LINE, lines=False)
    if replay.stopped_at is not None:
        draw([replay.stopped_at] * 2, [low, high], _STOP)
    looks = replay.looks
    draw([look.step for look in looks], [look.low for look in looks], _BAND)
    draw([look.step for look in looks], [look.high for look in looks], _BAND)
    draw(steps.tolist(), values.tolist(), _RUN)
    ticks = np.linspace(low, high, 4)
    figure.ruler("y").lim(low, high)
    figure.ruler("y").ticks(ticks.tolist(), [value(tick, replay.goal) for tick in ticks])
    across = np.linspace(0, end, _TICKS)
    figure.ruler("x").lim(0, end)
    figure.ruler("x").ticks(across.tolist(), [f"{tick:.0f}" for tick in across])
    figure.plot_size(width, height)
    text = figure.build().string()
    drawn = text if color else plotext.uncolorize(text)
    return f"{drawn.rstrip()}\n{_legend(replay, limit, width, color)}\n"


def _limits(replay: Replay, values: np.ndarray) -> tuple[float, float]:
    """Range of the axis: the run, the outcome, and the band where it has narrowed.

    A band of an early look is wide; past a span around the run it is cut off at the edge.
    """
    ordinates = [*values.tolist()]
    later = [look for look in replay.looks if look.share >= 0.3] or list(replay.looks)
    for look in later:
        ordinates += [look.low, look.high]
    limit = replay.goal.threshold(replay.baseline)
    if limit is not None:
        ordinates.append(limit)
    finite = [x for x in ordinates if math.isfinite(x)]
    low, high = min(finite), max(finite)
    room = 0.04 * (high - low) or abs(high) * 0.05 or 0.05
    least, most = replay.goal.bounds  # no room below an accuracy of 0
    return max(low - room, min(low, least)), min(high + room, max(high, most))


def _legend(replay: Replay, limit: float | None, width: int, color: bool) -> str:
    parts = [(_RUN, "⣀⡠ ", printable(replay.goal.metric, 30))]
    if replay.looks:
        parts.append((_BAND, "⣀⡠ ", "forecast of the outcome at each step, 90 %"))
    if limit is not None:
        name = "target" if replay.goal.target is not None else "trivial baseline"
        parts.append((_LINE, "··· ", f"{name} {value(limit, replay.goal)}"))
    if replay.stopped_at is not None:
        parts.append((_STOP, "⡇ ", f"stopped at {replay.stopped_at}"))
    codes = {_RUN: 34, _BAND: 32, _LINE: 90, _STOP: 31}
    text, used = "", 0
    for shade, mark, words in parts:
        length = len(mark) + len(words)
        gap = "" if not used else "  " if used + 2 + length <= width else "\n"
        used = length + (used + 2 if gap == "  " else 0)
        text += gap + (f"\x1b[{codes[shade]}m{mark}\x1b[0m" if color else mark) + words
    return text


def sparkline(record: RunRecord, metric: str) -> str:
    """A run's metric as a row of `_SPARK` blocks at most; empty where nothing was evaluated."""
    _, values = record.finite(metric)
    if not values.size:
        return ""
    if values.size > _SPARK:
        values = values[np.linspace(0, values.size - 1, _SPARK).round().astype(int)]
    low, span = float(values.min()), float(np.ptp(values)) or 1.0
    levels = ((values - low) / span * (len(_BLOCKS) - 1)).round().astype(int)
    return "".join(_BLOCKS[level] for level in levels.tolist())
