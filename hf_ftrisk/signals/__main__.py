"""Prints docs/reference/signals.md from tables in the modules: ``python -m hf_ftrisk.signals``."""

from __future__ import annotations

from hf_ftrisk.signals import dataset, dynamics
from hf_ftrisk.signals.model import (
    compatibility,
    label_signal,
    movement,
    own_input,
    simulated,
)

_HEAD = """\
# Signals

What is measured of the data, of the frozen model on it, and of a run so far. Each is a number in
`report.signals` or in a record's `static`; one that the data or the model do not allow is missing,
never guessed. This page is printed by `python -m hf_ftrisk.signals`; a test holds it to the code.

**How much is looked at.** `trainer_signals(trainer)` reads at most 1,000 rows of either set, shows
the model at most 32 batches of each, takes representations of about 512 rows, and gradients of at
most 12 batches of each, of which it keeps 500,000 coordinates (96 MB), within 15 seconds by
default: a sixth at most to read and collate each set, a fifth of the rest for the data; of what is
left, a sixth for the zero-shot loss, five eighths for representations (or, of a language model, its
targets beside other inputs), the rest for gradients.

**The seconds are a bound.** The clock is looked at between rows and between batches. Batches grow
from 2 rows to 4, 8, ... up to the run's own, and each is begun only if it is expected to end in
time, judged by the rows before it; work for which there is no time is left out, and so are its
signals. What can exceed the limit is a piece of work that takes longer than foreseen: the first two
rows that the model is shown, a batch whose rows are longer than those before, one slow row of the
data set. Losses and gradients are those of whole batches where there was time for two; of smaller
ones otherwise, `noise_scale` and `gradient_snr` being computed for their sizes, and
`gradient_consistency` left out. Several processes decide together where to end.

Rows are drawn by the Trainer's own `data_seed` or `seed` from a local generator: no global random
state is read or moved. `python -m benchmarks.signals_cost` times it; docs/evidence/preflight.md has
its table.

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
        "Do the labels carry signal",
        label_signal,
        "`label_signal`: the representation is what the head is given, found by hooks, beside the "
        "mean over tokens of the last hidden state where the body trains; of token classification "
        "at most 4 labeled tokens a row. What it finds is a lower bound of what a sound fine-tune "
        "reaches. What it does not find may be there all the same: entailment, and whether a "
        "sentence is grammatical, are in no linear function of MiniLM's.",
    ),
    (
        "Does a target depend on its input",
        own_input,
        "`input_signals`: of encoder-decoder models, and of causal ones whose labels mask the "
        "prompt.",
    ),
    (
        "Can the schedule move the model",
        movement,
        "`movement_signals`: no step is taken. LoRA is included: at its first step only B has a "
        "gradient.",
    ),
    (
        "How far a head gets within the schedule",
        simulated,
        "`simulated_signals`: the body stays as it is; nothing of the Trainer is trained. Of "
        "classes of rows, with at least 20 evaluation rows.",
    ),
    (
        "A run so far",
        dynamics,
        "`dynamics_signals(record.prefix(step))`. Gradient norms are those before clipping, and "
        "losses those of whole optimizer steps, also under gradient accumulation. `update_ratio` "
        "and `step_consistency` need the weights and gradients of each step: `StepMeter` measures "
        "them on 100,000 numbers at most, spread over the parameters, which take 4 MB whatever the "
        "size of the model. A pre-flight does so in its probes; its report holds the mean over the "
        "probes. A watched run and a replayed one have the others.",
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
