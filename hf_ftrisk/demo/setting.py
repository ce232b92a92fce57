"""One way to fine-tune in the demo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSetting:
    """One way to fine-tune.

    Args:
        name: short name, also of its folder.
        title: what it is, for a person.
        learning_rate: peak learning rate.
        shuffled: each training row has the label or answer of another one.
        seed: of the new weights, the order of the data, dropout and shuffling.
    """

    name: str
    title: str
    learning_rate: float
    shuffled: bool = False
    seed: int = 7
