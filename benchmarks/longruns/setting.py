"""What decides one long run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Literal

from benchmarks.recording.design import check_evaluations, stable_name, task_of

Kind = Literal["single", "pair", "tokens", "regression", "multilabel", "causal_lm", "seq2seq"]
# What may be wrong with a run besides its rate, its noise and its size.
Fault = Literal["", "shuffled", "swapped_column", "mapping", "mask", "vocabulary", "truncated"]
Method = Literal["full", "lora", "frozen_body", "bias_only"]


@dataclass(frozen=True)
class LongSetting:
    """Everything that decides one run; two equal settings give the same trajectory.

    Args:
        dataset: name in `benchmarks.longruns.data`.
        kind: kind of task.
        model: ``"minilm-N"``: the embeddings, the first N of MiniLM's six layers and its pooler;
            ``"minilm-N-fresh-K"``: layers K to N (counted from 1) and the pooler initialized
            anew; ``"smollm2-N"``: SmolLM2's first N of 30 layers, with LoRA; ``"t5-scratch"``: a
            small encoder-decoder from scratch.
        method: what trains: all weights, adapters and head, the head alone, or only its bias.
        recipe: name of the recipe in the plan, for tables; it decides nothing.
        fault: what is wrong with data or wiring, empty if nothing is:
            ``"shuffled"``: training labels permuted among the rows;
            ``"swapped_column"``: the target of training and evaluation is another row's;
            ``"mapping"``: every training label is the next class's;
            ``"mask"``: the attention mask hides all but the first token;
            ``"vocabulary"``: token ids of another tokenizer (permuted);
            ``"truncated"``: three tokens of a text are left.
        learning_rate: peak learning rate of AdamW.
        train_rows: rows of the training subset; the subset depends on data set and size alone.
        label_noise: share of training labels replaced by a uniformly drawn other label.
        scheduler: the Trainer's ``lr_scheduler_type``.
        warmup: share of the steps with rising learning rate.
        max_steps: optimizer steps; a multiple of `evaluations`.
        evaluations: evaluations after the one at step 0.
        batch_size: rows of an optimizer step.
        weight_decay: AdamW's weight decay.
        eval_rows: evaluation rows at most.
        max_tokens: tokens a row is cut at.
        seed: initialization, order of the data, dropout.
    """

    dataset: str
    kind: Kind = "single"
    model: str = "minilm-2"
    method: Method = "full"
    recipe: str = "sound"
    fault: Fault = ""
    learning_rate: float = 1e-4
    train_rows: int = 2000
    label_noise: float = 0.0
    scheduler: str = "linear"
    warmup: float = 0.06
    max_steps: int = 500
    evaluations: int = 20
    batch_size: int = 16
    weight_decay: float = 0.0
    eval_rows: int = 256
    max_tokens: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        check_evaluations(self.max_steps, self.evaluations)

    @property
    def warmup_steps(self) -> int:
        """Steps with rising learning rate."""
        return math.ceil(self.warmup * self.max_steps)

    @property
    def task(self) -> str:
        """Data set x model x method."""
        return task_of(self)

    @property
    def setting_id(self) -> str:
        """Stable name of the setting without its seed.

        Only what differs from the defaults counts, so that a new field leaves old names alone.
        """
        defaults = {field.name: field.default for field in fields(self)}
        content = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("seed", "recipe") and value != defaults[name]
        }
        return stable_name(self, content)

    @property
    def run_id(self) -> str:
        """Stable name of the run."""
        return f"{self.setting_id}-s{self.seed}"
