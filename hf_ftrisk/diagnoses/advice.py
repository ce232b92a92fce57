"""What to change about the learning rate: one direction, whatever was found.

Advice rests on the peak learning rate, on those of the good runs of the task where there are any,
and else on what fine-tuning uses: a rate of 0 is to be set, one that moves nothing is to be raised
and never lowered, one far above what is used is to be lowered and never raised.
"""

from __future__ import annotations

from hf_ftrisk.diagnoses.rates import GoodRates, peak_rate
from hf_ftrisk.record import RunRecord

# Peak rates of Adam at which nothing moves, and above which hardly any fine-tune holds.
_LOW = 1e-7
# From this many times the rate at which nothing moves on, fine-tunes of the kind have learned.
_USUAL_FROM = 100
_HIGH = 1e-3
# Full fine-tunes of models of this size hold less.
_LARGE_PARAMETERS = 2e7
_HIGH_LARGE = 3e-4
# Adapters and new heads are trained at ten times the rate, small models at more.
_HIGH_PARTIAL = 1e-2
_HIGH_SMALL = 3e-2
# SGD has no normalized step.
_SGD = 100.0

CHECK_ROWS = (
    "read 50 training rows with their labels (a column that was shuffled, or labels numbered in "
    "another order than the model's, looks like this), and compare the data with that of those runs"
)


def usual_rates(record: RunRecord) -> tuple[float, float]:
    """Peak rates below which a run stands still, and above which hardly any holds."""
    optimizer = str(record.settings.get("optimizer", ""))
    factor = _SGD if optimizer == "sgd" else 1.0
    parameters = record.settings.get("parameters")
    high = _HIGH
    if record.settings.get("method") == "partial":
        high = _HIGH_PARTIAL
    elif isinstance(parameters, int | float):
        high = _HIGH_LARGE if parameters >= _LARGE_PARAMETERS else _HIGH_SMALL
    return _LOW * factor, high * factor


def too_high(record: RunRecord) -> bool:
    """Whether the peak learning rate is above what hardly any fine-tune holds."""
    peak = peak_rate(record)
    return peak is not None and peak > usual_rates(record)[1]


def too_low(record: RunRecord) -> bool:
    """Whether the peak learning rate is too low to move or to ruin anything."""
    peak = peak_rate(record)
    return peak is not None and peak <= usual_rates(record)[0]


def on_divergence(record: RunRecord, rates: GoodRates | None = None) -> str:
    """What to change where the loss rises."""
    peak = peak_rate(record)
    if peak is not None and too_low(record):
        return _not_the_rate(peak)
    if peak is not None and rates is not None and not rates.holds(peak) and peak > rates.high:
        return f"Lower the learning rate: its peak is {peak:.2g} here, and {rates}."
    if peak is not None and too_high(record):
        return _lower(record, peak)
    return "Lower the learning rate by a factor of 3 to 10, or warm up over 6-10 % of the steps."


def on_standstill(record: RunRecord, rates: GoodRates | None = None) -> str:
    """What to change where the loss does not move: the rate, unless it is a good one."""
    peak = peak_rate(record)
    if peak == 0.0:
        return _set(rates)
    if peak is not None and rates is not None:
        if rates.holds(peak):
            return (
                f"Keep the learning rate: its peak of {peak:.2g} is like that of runs that ended "
                f"well ({rates}). Check the labels: {CHECK_ROWS}."
            )
        verb = "Raise" if peak < rates.low else "Lower"
        return f"{verb} the learning rate: its peak is {peak:.2g} here, and {rates}."
    if peak is not None and too_low(record):
        return _raise(record, peak)
    if peak is not None and too_high(record):
        return _lower(record, peak)
    if peak is not None and peak >= _USUAL_FROM * usual_rates(record)[0]:
        return (
            "Read 50 training rows with their labels first: a log cannot tell labels that do not "
            f"belong to their rows from a rate that is too small, and a peak of {peak:.2g} is one "
            "that fine-tunes use. If the labels are right, raise the learning rate by a factor of "
            "3 to 10; if nothing moves then either, check that the loss depends on the trained "
            "parameters."
        )
    peak_words = "" if peak is None else f" (its peak is {peak:.2g})"
    return (
        f"Raise the learning rate by a factor of 3 to 10{peak_words}. Where such a rate has worked "
        "for this model before, or raising it changes nothing, check that the labels belong to "
        "their rows and that the loss depends on the trained parameters."
    )


def on_collapse(record: RunRecord, rates: GoodRates | None = None) -> str:
    """What to change where one class is predicted: seed and rate, unless the rate is a good one."""
    peak = peak_rate(record)
    if peak == 0.0:
        return _set(rates)
    if peak is not None and rates is None and too_low(record):
        return _raise(record, peak)
    if peak is not None and rates is None and too_high(record):
        return _lower(record, peak)
    if peak is None or rates is None or (peak > rates.high and not rates.holds(peak)):
        return (
            "Restart with another seed and bias-corrected AdamW, a learning rate two to five "
            "times lower and warm-up over 10 % of the steps."
        )
    if rates.holds(peak):
        return (
            f"Restart with another seed, bias-corrected AdamW and the same learning rate: its peak "
            f"of {peak:.2g} is like that of runs that ended well ({rates}). If that collapses too, "
            f"check the labels: {CHECK_ROWS}."
        )
    return f"Raise the learning rate: its peak is {peak:.2g} here, and {rates}."


def on_non_finite(record: RunRecord) -> str:
    """What to change where losses or gradients are lost."""
    peak = peak_rate(record)
    if peak is not None and too_low(record):
        return _not_the_rate(peak)
    if peak is not None and too_high(record):
        return _lower(record, peak)
    return (
        "Restart from a checkpoint before that step with a learning rate ten times lower; "
        "with fp16, change to bf16."
    )


def on_poor_outcome(record: RunRecord, rates: GoodRates | None = None) -> str:
    """What to change where no diagnosis names the fault."""
    peak = peak_rate(record)
    if peak is None:
        return "Start over with another seed and a third of the learning rate."
    if peak == 0.0:
        return _set(rates)
    if rates is not None and not rates.holds(peak):
        return f"Change the learning rate: its peak is {peak:.2g} here, and {rates}."
    if too_low(record):
        return _raise(record, peak)
    if too_high(record):
        return _lower(record, peak)
    return (
        f"Start over with another seed and a peak learning rate of {peak / 3:.2g}, a third of this."
    )


def _set(rates: GoodRates | None) -> str:
    usual = "" if rates is None else f" It was {rates}."
    return f"Set a learning rate above 0: its peak is 0 here, so no step changes the model.{usual}"


def _raise(record: RunRecord, peak: float) -> str:
    low, high = usual_rates(record)
    return (
        f"Raise the learning rate: its peak of {peak:.2g} is too low to change the model. "
        f"Fine-tunes of this kind use {_USUAL_FROM * low:.0e} to {high:.0e}."
    )


def _lower(record: RunRecord, peak: float) -> str:
    low, high = usual_rates(record)
    return (
        f"Lower the learning rate: its peak of {peak:.2g} is too high for fine-tunes of this kind. "
        f"They use {_USUAL_FROM * low:.0e} to {high:.0e}, with warm-up over 6-10 % of the steps."
    )


def _not_the_rate(peak: float) -> str:
    return (
        f"Keep the learning rate: a peak of {peak:.2g} is too low to cause this. Check the data "
        "(empty or corrupt rows), the loss function and the precision: with fp16, change to bf16."
    )
