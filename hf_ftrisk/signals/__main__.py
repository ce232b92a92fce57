"""Prints docs/signals.md from the tables in the modules: ``python -m hf_ftrisk.signals``."""

from __future__ import annotations

from hf_ftrisk.signals import compatibility, dataset, dynamics

_HEAD = """\
# Signals

What is measured of the data, of the frozen model on it, and of a run so far. Each is a number in
`report.signals` or in a record's `static`; one that the data or the model do not allow is missing,
never guessed. This page is printed by `python -m hf_ftrisk.signals`; a test holds it to the code.

**How much is looked at.** `trainer_signals(trainer)` reads at most 1,000 rows of either set, shows
the model at most 32 batches of each and takes the gradient on at most 8, within 5 seconds by
default: a sixth at most to read each set; of what is left, about a quarter for the zero-shot loss,
a third for features, the rest for gradients. The clock is looked at between batches, and each part
takes one batch at least. Rows are drawn by the Trainer's own `data_seed` or `seed` from a local
generator: no global random state is read or moved. `python benchmarks/signals_cost.py` times it.

**What is left alone.** Weights, buffers, gradients, train/eval modes and random states are as
before; batches come from the Trainer's own collator, the loss from its own `compute_loss`.
"""

_PARTS = (
    ("The data", dataset, "`dataset_signals`: no model needed."),
    (
        "The frozen model on the data",
        compatibility,
        "`compatibility_signals`: evaluation mode, no step taken.",
    ),
    (
        "A run so far",
        dynamics,
        "`dynamics_signals(record.prefix(step))`; `StepMeter` measures `update_ratio` and "
        "`step_consistency` while steps are made. Gradient norms are those before clipping, and "
        "losses those of whole optimiser steps, also under gradient accumulation.",
    ),
)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, module, text in _PARTS:
        _, bar, rest = (module.__doc__ or "").partition("| signal |")
        parts.append(f"## {title}\n\n{text}\n\n{bar}{rest.rstrip()}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
