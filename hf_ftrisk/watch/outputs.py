"""Where a watched run's words go: terminal or notebook, the report's folder, the run's trackers.

Each tracker is reached through the Trainer's own reporter for it, so that all goes to the run that
the Trainer has opened there.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, TextIO

from rich.console import Console
from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from hf_ftrisk.failopen import fault_of
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.notebook import notebook_panel
from hf_ftrisk.report.terminal import show_report
from hf_ftrisk.text import fitting
from hf_ftrisk.watch.ending import LookDecision
from hf_ftrisk.watch.lines import Notices, StatusLine, status_line
from hf_ftrisk.watch.setup import WatchOptions

FIGURE = "ftrisk/figure"

_log = logging.getLogger(__name__)


class Outputs:
    """The outputs of one training.

    Args:
        options: what the user asked for.
        number: which training of its callback this is, from 1; it names the report's file.
    """

    def __init__(self, options: WatchOptions, number: int) -> None:
        self._options = options
        self._number = number
        self._panel = None if options.to_stderr else notebook_panel()
        self._status: StatusLine | None = None
        self._alerted = False

    @property
    def _stream(self) -> TextIO:
        return sys.stderr if self._options.to_stderr else sys.stdout

    def open(self, *, bars: bool) -> None:
        """Take a line of the terminal for forecasts, below the Trainer's progress bar.

        Args:
            bars: the Trainer shows one; without it lines are printed, as its logs are.
        """
        if bars and self._panel is None:
            self._status = status_line(self._stream)

    def say(self, notices: Notices) -> None:
        """Print lines without tearing a progress bar, nor failing at a letter that is lacking."""
        for line in notices.lines():
            if self._panel is not None:
                self._panel.say(line.text)
            elif self._status is not None and line.passing:
                self._status.show(fitting(line.text, self._stream.encoding))
            else:
                self._print(line.text)

    def close(self) -> None:
        """Leave the forecast that was shown last as an ordinary line."""
        status, self._status = self._status, None
        last = "" if status is None else status.close()
        if last:
            self._print(last)

    def _print(self, text: str) -> None:
        tqdm.write(fitting(text, self._stream.encoding), file=self._stream)

    def show(self, report: RiskReport) -> None:
        """Print a report beside the progress bar, which is still open as training ends."""
        self.close()
        console = Console(file=self._stream)
        with console.capture() as page:
            show_report(report, console=console)
        tqdm.write(fitting(page.get(), self._stream.encoding), file=self._stream, end="")

    def save(self, report: RiskReport) -> None:
        """Write the report to its folder, where one was asked for."""
        if self._options.report_dir is not None:
            suffix = "" if self._number == 1 else f"-{self._number}"
            report.save(self._options.report_dir / f"watch{suffix}.json")

    def alert(self, trainer: Trainer, decided: LookDecision) -> None:
        """A stop or a certain failure, once, by the alerts that trackers have of their own."""
        if self._alerted or not (decided.stop or decided.judged.ruling.certain):
            return
        self._alerted = True
        title = "ftrisk: run stopped" if decided.stop else "ftrisk: this run cannot end well"
        _try_tracker(alert, trainer, title, decided.judged.paragraph())

    def draw(self, trainer: Trainer, report: Callable[[], RiskReport | None]) -> None:
        """The figure of the run as it ends, to its trackers; its report, where any is open."""
        _try_tracker(_draw, trainer, report)


def _try_tracker(work: Callable[..., None], *args: Any) -> None:
    """Write to trackers; one that cannot be written to is no fault of the watching."""
    error = fault_of(work, *args)
    if error is not None:
        _log.warning(
            "[ftrisk] a tracker could not be written to: %s: %s", type(error).__name__, error
        )


def _draw(trainer: Trainer, report: Callable[[], RiskReport | None]) -> None:
    made = report() if any(True for _ in _open_trackers(trainer)) else None
    if made is not None:
        send_figure(trainer, made)


def log_quietly(
    trainer: Trainer, control: Any, logs: dict[str, float], *, own: type, everyone: bool
) -> None:
    """A look to the run's trackers, or to its log history and every callback as well.

    A look has a line of its own on the terminal, so progress bars are not told. Trainer's own
    `log` is called, since a subclass's may empty running means that belong to its next log; and a
    log event withdraws the log that the flow callback may have asked for at this step, so that is
    put back.

    Args:
        trainer: the Trainer.
        control: its TrainerControl.
        logs: name -> value.
        own: our callback's class, which is not told either.
        everyone: write to ``state.log_history`` and tell every callback, not trackers alone.
    """
    handler = trainer.callback_handler
    callbacks, should_log = handler.callbacks, control.should_log
    quiet = (ProgressCallback, PrinterCallback, own)
    listeners = [one for one in callbacks if not isinstance(one, quiet)]
    handler.callbacks = listeners if everyone else [one for one in listeners if is_tracker(one)]
    try:
        if everyone:
            Trainer.log(trainer, dict(logs))
        else:
            handler.on_log(trainer.args, trainer.state, control, dict(logs))
    finally:
        handler.callbacks = callbacks
        control.should_log = should_log


def is_tracker(callback: TrainerCallback) -> bool:
    """Whether a callback is one of transformers' reporters (wandb, TensorBoard, trackio, ...)."""
    return type(callback).__module__.startswith("transformers.integrations")


def alert(trainer: Trainer, title: str, text: str) -> None:
    """An alert through the trackers that have one: W&B's and trackio's own calls.

    Args:
        trainer: the Trainer whose trackers are told.
        title: what happened, in few words.
        text: why, in a sentence or two.
    """
    for name, _ in _open_trackers(trainer):
        if name == "WandbCallback":
            import wandb

            if wandb.run is not None:
                wandb.run.alert(title=title, text=text, level="ERROR")
        elif name == "TrackioCallback":
            import trackio

            trackio.alert(title=title, text=text, level=trackio.AlertLevel.ERROR)


def send_figure(trainer: Trainer, report: RiskReport) -> None:
    """The report's trajectory to TensorBoard, W&B and trackio, where matplotlib is installed.

    Args:
        trainer: the Trainer whose trackers are told; they are still open.
        report: of its run, as it ends.
    """
    trackers = list(_open_trackers(trainer))
    if not trackers or find_spec("matplotlib") is None:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hf_ftrisk.report.plots import plot_trajectory

    figure = Figure(figsize=(7.5, 4.2), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    plot_trajectory(report, figure.subplots())
    canvas.draw()
    import numpy as np

    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    step = int(trainer.state.global_step)
    for name, tracker in trackers:
        if name == "TensorBoardCallback":
            tracker.tb_writer.add_image(FIGURE, pixels, step, dataformats="HWC")
        elif name == "WandbCallback":
            import wandb

            if wandb.run is not None:
                wandb.run.log({FIGURE: wandb.Image(pixels), "train/global_step": step})
        else:
            import trackio

            trackio.log({FIGURE: trackio.Image(pixels), "train/global_step": step})


def _open_trackers(trainer: Trainer) -> Iterator[tuple[str, Any]]:
    """(name, reporter) of those this module knows whose run is open, on the process that writes."""
    if not trainer.is_world_process_zero():
        return
    for callback in trainer.callback_handler.callbacks:
        name = type(callback).__name__
        if is_tracker(callback) and name in _IS_OPEN and _IS_OPEN[name](callback):
            yield name, callback


def _wandb_is_open(_callback: Any) -> bool:
    import wandb

    return wandb.run is not None


def _trackio_is_open(_callback: Any) -> bool:
    from trackio.context_vars import current_run

    return current_run.get() is not None


_IS_OPEN: dict[str, Callable[[Any], bool]] = {
    "TensorBoardCallback": lambda callback: callback.tb_writer is not None,
    "WandbCallback": _wandb_is_open,
    "TrackioCallback": _trackio_is_open,
}
