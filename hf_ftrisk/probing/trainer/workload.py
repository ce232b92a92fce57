"""The user's Trainer as something to probe: opened on a snapshot, closed without a trace."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from hf_ftrisk.diagnoses.wiring import check_wiring
from hf_ftrisk.probing.trainer.facts import trainer_facts
from hf_ftrisk.probing.trainer.probe import ProbeEngine, TrainerProbe
from hf_ftrisk.probing.trainer.reinit import Redrawn, redraw_fresh, redraw_from
from hf_ftrisk.probing.trainer.sample import eval_sample
from hf_ftrisk.probing.workload import SEED_STRIDE, Evaluation, Facts, OneRank, Processes
from hf_ftrisk.record.columns import rate_sum
from hf_ftrisk.record.settings import declared
from hf_ftrisk.signals.collect import trainer_signals
from hf_ftrisk.trainers.facts import begin_at, goal_sets
from hf_ftrisk.trainers.shadow import clone_optimizer, clone_scheduler, shadow_copy
from hf_ftrisk.trainers.state import (
    AccelerateSnapshot,
    RngState,
    Storage,
    StructureSnapshot,
    TensorSnapshot,
    TorchModes,
    restore_all,
    trainable_tensors,
)
from hf_ftrisk.trainers.support import check_trainer, deviations
from hf_ftrisk.trainers.versions import checkpoint_activations
from hf_ftrisk.verdict import Diagnosis

T = TypeVar("T")


class TrainerWorkload:
    """Probes of one Trainer.

    Args:
        trainer: the user's Trainer.
        metric: the goal's metric, which says which evaluation sets are needed.
        storage: where snapshots are kept.
        ranks: the processes in lockstep.

    Raises:
        PreflightUnsupportedError: a setup that cannot be put back; nothing was touched.
    """

    def __init__(
        self,
        trainer: Any,
        metric: str,
        storage: Storage = "cpu",
        ranks: Processes | None = None,
    ) -> None:
        check_trainer(trainer)
        self.ranks = ranks if ranks is not None else OneRank()
        self._trainer = trainer
        self._storage = storage
        self._eval_sets = goal_sets(trainer.eval_dataset, metric)
        self._attributes = dict(vars(trainer))
        roots = [m for m in vars(trainer).values() if isinstance(m, nn.Module)]
        self._rng = RngState.capture()
        self._modes = TorchModes.capture()
        self._structure = StructureSnapshot(roots)
        self._accelerate = AccelerateSnapshot(trainer.accelerator)
        self._roots = roots
        self._tensors = self._state_tensors()
        self._weights = TensorSnapshot.take(self._tensors, storage)
        self._folder = tempfile.mkdtemp(prefix="hf_ftrisk_")
        self._wrapped: Any = None
        self._active: TrainerProbe | None = None
        self._probes: list[TrainerProbe] = []
        self._facts: Facts | None = None
        self._eval_rows: int | None = None
        self.redrawn = Redrawn()
        self._closed = False

    @property
    def snapshot_bytes(self) -> int:
        """Memory the snapshot of the user's weights and buffers takes."""
        return self._weights.nbytes

    def _state_tensors(self) -> list[torch.Tensor]:
        """Everything training changes in the model, and the buffers of all other modules."""
        buffers = [buffer for root in self._roots for buffer in root.buffers()]
        return [*trainable_tensors(self._trainer.model), *buffers]

    def shadow(self) -> Any:
        """A shadow copy of the trainer on the untouched model."""
        return shadow_copy(self._trainer, self._folder)

    def facts(self) -> Facts:
        """What is known of the full run."""
        if self._facts is None:
            try:
                notes = deviations(self._trainer)
                self._facts = trainer_facts(self.shadow(), self._eval_sets, notes)
            finally:
                self._rng.restore()
        return self._facts

    def faults(self) -> tuple[Diagnosis, ...]:
        """Wiring faults of the untouched trainer."""
        return self._untouched(check_wiring)

    def signals(self, seconds: float) -> dict[str, float]:
        """Static signals of the untouched model."""
        facts = self.facts()
        total = None if facts.schedule is None else rate_sum(facts.schedule, facts.max_steps)
        return self._untouched(
            lambda shadow: trainer_signals(shadow, seconds=seconds, summed_rates=total)
        )

    def _untouched(self, look: Callable[[Any], T]) -> T:
        """What `look` finds on a shadow copy of the trainer with the weights from before."""
        active = self._active
        self._leave()
        shadow = self.shadow()
        shadow.eval_dataset = self._eval_sets
        try:
            return look(shadow)
        finally:
            self._rng.restore()
            if active is not None:
                self.activate(active)

    def set_eval_rows(self, rows: int | None) -> None:
        """Rows of the evaluation sample from now on."""
        self._eval_rows = rows
        sample = eval_sample(self._eval_sets, rows, self._trainer.args.seed)
        for probe in self._probes:
            probe.set_eval_sample(sample)

    def open(self, index: int, first: int = 0) -> TrainerProbe:
        """A new probe, active: number 0 begins as the real run will, others with other seeds.

        Args:
            index: number of the probe.
            first: step of the schedule that its learning rates begin at.
        """
        from transformers import enable_full_determinism, set_seed

        facts = self.facts()
        self._leave()
        args = self._trainer.args
        seed = args.seed if index == 0 else args.seed + SEED_STRIDE * index
        seeding = enable_full_determinism if args.full_determinism else set_seed
        if index > 0 or self._trainer.model_init is not None:
            seeding(seed % 2**32)
        model = self._trainer.model
        if self._trainer.model_init is not None:
            redrawn = redraw_from(self._trainer.call_model_init, model)
        elif index > 0:
            redrawn = redraw_fresh(model)
        else:
            redrawn = Redrawn()
        self.redrawn = redrawn if index > 0 else self.redrawn
        self._prepare_model()
        engine = self._engine(seed, facts)
        begin_at(engine.shadow.lr_scheduler, first)
        facts = replace(facts, settings={**facts.settings, **_jumped(first)})
        probe = TrainerProbe(engine, facts, seed, self._tensors, self._storage, self.ranks)
        probe.set_eval_sample(
            eval_sample(self._eval_sets, self._eval_rows, self._trainer.args.seed)
        )
        self._probes.append(probe)
        self._active = probe
        probe.resume()
        return probe

    def activate(self, probe: TrainerProbe) -> None:
        """Give the model to `probe`."""
        if probe is not self._active:
            self._suspend()
            self._active = probe
            probe.resume()

    def _suspend(self) -> None:
        if self._active is not None:
            self._active.suspend()
        self._active = None

    def _leave(self) -> None:
        """Untouched weights and random numbers, for a new probe."""
        self._suspend()
        self._weights.restore()
        self._rng.restore()

    def _prepare_model(self) -> None:
        """What `Trainer.train` does to the model before its first step, once."""
        if self._wrapped is not None:
            return
        trainer = self._trainer
        args, model = trainer.args, trainer.model
        checkpoint_activations(model, args)
        if (args.fp16_full_eval or args.bf16_full_eval) and not trainer.is_model_parallel:
            trainer._move_model_to_device(model, args.device)
        _align_tokens(model, trainer.processing_class)
        if trainer.neftune_noise_alpha is not None:
            from transformers.integrations.neftune import activate_neftune

            activate_neftune(model, trainer.neftune_noise_alpha, trainer.accelerator)
        shadow = self.shadow()
        # A wrapper left by an earlier train() talks to the other ranks through the default
        # group; probes wrap the bare model anew, in the group of their own.
        wrapped = shadow._wrap_model(model)
        self._wrapped = trainer.accelerator.prepare_model(wrapped) if wrapped is model else wrapped
        # Moved to another device, a module has other buffers.
        self._tensors = self._state_tensors()
        self._weights = self._weights.onto(self._tensors)

    def _engine(self, seed: int, facts: Facts) -> ProbeEngine:
        trainer, shadow = self._trainer, self.shadow()
        shadow.args.seed = seed
        shadow.model_wrapped = self._wrapped
        loader = shadow.get_train_dataloader()
        values = shadow.set_initial_training_values(shadow.args, loader)
        epochs, updates, batches = values[0], values[1], values[5]
        optimizer = trainer.optimizer if trainer.model_init is None else None
        shadow.optimizer = None
        if optimizer is None:
            shadow.create_optimizer()
        else:
            shadow.optimizer = clone_optimizer(optimizer)
        self._keep_extra(shadow.optimizer)
        inner = shadow.optimizer
        shadow.optimizer = shadow.accelerator.prepare(inner)
        scheduler = trainer.lr_scheduler
        shadow.lr_scheduler = None
        if scheduler is None or optimizer is None or trainer._created_lr_scheduler:
            shadow.create_scheduler(num_training_steps=facts.max_steps)
        else:
            shadow.lr_scheduler = clone_scheduler(scheduler, inner)
        state = shadow.state
        state.max_steps, state.num_train_epochs = facts.max_steps, epochs
        state.train_batch_size = shadow._train_batch_size
        state.epoch = 0.0
        shadow._initial_num_input_tokens_seen = 0
        self._wrapped.zero_grad()
        return ProbeEngine(shadow, self._wrapped, loader, updates, batches)

    def _keep_extra(self, optimizer: Any) -> None:
        """Snapshot parameters that a user's optimizer trains outside the model as well."""
        ids = {id(tensor) for tensor in self._tensors}
        extra = [p for g in optimizer.param_groups for p in g["params"] if id(p) not in ids]
        if extra:
            self._tensors += extra
            more = TensorSnapshot.take(extra, self._storage)
            self._weights = TensorSnapshot(
                self._weights.live + more.live, self._weights.kept + more.kept
            )

    def evaluate_untrained(self, probe: TrainerProbe, limit: float | None = None) -> Evaluation:
        """The untouched model on the sample; `probe` lends its shadow copy."""
        self._leave()
        probe.enter()
        evaluation = probe.evaluate(limit, untrained=True)
        self.activate(probe)
        return evaluation

    @property
    def can_jump(self) -> bool:
        """Whether a probe may begin at another step of the schedule than the first."""
        return True

    @property
    def same_start(self) -> bool:
        """Whether all probes compute the same function before their first step.

        A new draw of untouched adapters changes nothing yet; a new head does.
        """
        return not self.redrawn.heads

    def close(self) -> None:
        """Drop every probe and put everything back; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for probe in self._probes:
            probe.close()
        if self._wrapped is not None and self._wrapped is not self._trainer.model:
            # Frames of an exception may still hold the wrapper; what it holds (a process group,
            # hooks on the gradients) must go now.
            vars(self._wrapped).clear()
        self._wrapped = self._active = None
        self._probes.clear()
        restore_all(
            (
                self._modes.restore,
                self._structure.restore,
                self._weights.restore,
                self._accelerate.restore,
                self._restore_trainer,
                lambda: shutil.rmtree(self._folder, ignore_errors=True),
                self._rng.restore,
            )
        )

    def _restore_trainer(self) -> None:
        own = vars(self._trainer)
        own.clear()
        own.update(self._attributes)


def _jumped(first: int) -> dict[str, Any]:
    return declared(schedule_from=first) if first else {}


def _align_tokens(model: nn.Module, processing_class: Any) -> None:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin
    from transformers.trainer_utils import align_special_tokens

    if isinstance(processing_class, PreTrainedTokenizerBase | ProcessorMixin) and hasattr(
        model, "config"
    ):
        align_special_tokens(model, processing_class)
