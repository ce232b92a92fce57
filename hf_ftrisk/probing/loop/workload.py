"""A training loop of the user's own as something to probe."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from hf_ftrisk.errors import PreflightError
from hf_ftrisk.probing.budget import EvalSize
from hf_ftrisk.probing.loop.loop import TrainingLoop, named_metrics, step_entry
from hf_ftrisk.probing.loop.signals import loop_signals
from hf_ftrisk.probing.loop.state import difference, kept_state, state_bytes
from hf_ftrisk.probing.workload import (
    SEED_STRIDE,
    Evaluation,
    Facts,
    OneRank,
    ProbeLog,
    Processes,
)
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.settings import declared
from hf_ftrisk.trainers.memory import peak_memory
from hf_ftrisk.trainers.state import AccelerateSnapshot, RngState, Storage, TorchModes, restore_all
from hf_ftrisk.verdict import Diagnosis


class LoopProbe:
    """A probe of a loop.

    Args:
        loop: the user's functions.
        seed: its seed.
        sample: rows it is evaluated on, one box shared by all probes.
        storage: where its state waits while another probe trains.
        facts: what is known of the full run.
        ranks: the processes in lockstep. Losses, metrics and times are rank 0's: ranks that saw
            their own would decide differently.
    """

    def __init__(
        self,
        loop: TrainingLoop,
        seed: int,
        sample: list[int],
        storage: Storage,
        facts: Facts,
        ranks: Processes,
    ) -> None:
        self._ranks = ranks
        self.seed = seed
        self.step = 0
        self._loop = loop
        self._sample = sample
        self._storage = storage
        self._facts = facts
        self._batches = None if loop.batches is None else _endless(loop.batches(seed))
        self.log = ProbeLog()
        self._row_seconds: float | None = None
        self._kept: tuple[Any, RngState] | None = None

    def suspend(self) -> None:
        """Put the loop's state and the random numbers aside for another probe's turn."""
        self._kept = (kept_state(self._loop.state_dict(), self._storage), RngState.capture())

    def resume(self) -> None:
        """Give the loop back the state this probe left it in."""
        if self._kept is None:
            return
        state, rng = self._kept
        self._loop.load_state_dict(state)
        rng.restore()
        self._kept = None

    def close(self) -> None:
        """Drop the batches and what was put aside."""
        self._batches = self._kept = None

    def advance(self, step: int) -> None:
        """Train up to optimizer step `step`; stops early at a non-finite loss."""
        log = self.log
        while self.step < step and not log.diverged:
            start = time.perf_counter()
            batch = () if self._batches is None else (next(self._batches),)
            entry = self._ranks.from_main(step_entry(self._loop.step(*batch)))
            log.step_seconds.append(time.perf_counter() - start)
            log.peak = peak_memory(_device(), log.peak)
            log.non_finite = 0 if math.isfinite(entry["loss"]) else log.non_finite + 1
            self.step += 1
            rates = self._loop.learning_rates
            if rates is not None:
                entry.setdefault("learning_rate", float(rates[self.step - 1]))
            log.entries.append({"step": self.step, **entry})

    def evaluate(self, limit: float | None = None) -> Evaluation:
        """Metrics on the sample, or on the fewer rows that `limit` seconds will do for."""
        rows = self._sample[0]
        if limit is not None and self._row_seconds:
            min_rows = EvalSize(self._loop.eval_rows, self._loop.eval_batch_size).min_rows
            rows = min(rows, max(min_rows, int(limit / self._row_seconds)))
        rng = RngState.capture()
        start = time.perf_counter()
        try:
            metrics = named_metrics(self._loop.evaluate(rows))
        finally:
            rng.restore()
        seconds = time.perf_counter() - start
        metrics, seconds = self._ranks.from_main((metrics, seconds))
        self._row_seconds = seconds / rows
        return Evaluation(metrics, rows, seconds)

    def step_columns(self) -> dict[str, np.ndarray]:
        """Nothing: weights and gradients are the loop's own affair."""
        return {}

    def record(self, evals: Mapping[int, Mapping[str, float]]) -> RunRecord:
        """The trajectory so far, with the evaluations that were done (step -> metrics)."""
        return self.log.record(self._facts, self.seed, evals)


class LoopWorkload:
    """Probes of a loop.

    Args:
        loop: the user's functions.
        storage: where states are kept.
        ranks: the processes in lockstep.

    Raises:
        PreflightError: `load_state_dict` does not bring back what `state_dict` gave; no step was
            made.
    """

    def __init__(
        self,
        loop: TrainingLoop,
        storage: Storage,
        ranks: Processes | None = None,
    ) -> None:
        self.ranks = ranks if ranks is not None else OneRank()
        self._loop = loop
        self._storage = storage
        self._rng = RngState.capture()
        self._modes = TorchModes.capture()
        self._accelerate = (
            None if loop.accelerator is None else AccelerateSnapshot(loop.accelerator)
        )
        self._state = kept_state(loop.state_dict(), storage)
        self._sample = [loop.eval_rows]
        self._active: LoopProbe | None = None
        self._probes: list[LoopProbe] = []
        self._closed = False
        self._check_round_trip()

    def _check_round_trip(self) -> None:
        self._load()
        wrong = difference(self._state, self._loop.state_dict())
        self._rng.restore()
        if wrong is not None:
            raise PreflightError(
                f"load_state_dict(state_dict()) does not bring the state back: {wrong} differs. "
                "Both must cover everything a step changes: model, optimizer, scheduler, scaler."
            )

    def _load(self) -> None:
        # A copy: optimizers keep and change the tensors they are given.
        self._loop.load_state_dict(kept_state(self._state, "device"))

    @property
    def snapshot_bytes(self) -> int:
        """Memory the copy of the user's state takes."""
        return state_bytes(self._state)

    @property
    def can_jump(self) -> bool:
        """No: the schedule is stepped by the loop's own functions."""
        return False

    @property
    def same_start(self) -> bool:
        """Whether all probes compute the same function before their first step."""
        return self._loop.begin is None

    def facts(self) -> Facts:
        """What the user said of the full run."""
        loop = self._loop
        rates, labels = loop.learning_rates, loop.eval_labels
        settings = {
            **declared(max_steps=loop.max_steps, trainer="loop"),
            **(loop.run_settings or {}),
        }
        return Facts(
            max_steps=loop.max_steps,
            schedule=None if rates is None else np.asarray(rates, dtype=float),
            steps_per_epoch=loop.steps_per_epoch,
            rows_per_step=loop.rows_per_step,
            eval=EvalSize(loop.eval_rows, loop.eval_batch_size),
            evaluations=loop.evaluations,
            labels=None if labels is None else np.asarray(labels),
            settings=settings,
        )

    def faults(self) -> tuple[Diagnosis, ...]:
        """None: what is wired how is the loop's own affair."""
        return ()

    def signals(self, seconds: float) -> dict[str, float]:
        """Static signals that the loop's `features` and `gradient` give; none without them."""
        if self._loop.features is None and self._loop.gradient is None:
            return {}
        active = self._active
        self._leave()
        try:
            return loop_signals(self._loop, seconds, self.ranks)
        finally:
            self._rng.restore()
            if active is not None:
                self.activate(active)

    def set_eval_rows(self, rows: int | None) -> None:
        """Rows of the evaluation sample from now on."""
        self._sample[0] = self._loop.eval_rows if rows is None else rows

    def open(self, index: int, first: int = 0) -> LoopProbe:
        """A new probe, active; number 0 draws the random numbers that the real run would draw.

        Args:
            index: number of the probe.
            first: has to be 0: the schedule is the loop's own affair.
        """
        self._leave()
        seed = self._loop.seed + SEED_STRIDE * index
        if index > 0:
            _seed_all(seed)
            if self._loop.begin is not None:
                self._loop.begin(seed)
        probe = LoopProbe(self._loop, seed, self._sample, self._storage, self.facts(), self.ranks)
        self._probes.append(probe)
        self._active = probe
        return probe

    def activate(self, probe: LoopProbe) -> None:
        """Give the loop to `probe`."""
        if probe is not self._active:
            if self._active is not None:
                self._active.suspend()
            self._active = probe
            probe.resume()

    def _leave(self) -> None:
        if self._active is not None:
            self._active.suspend()
        self._active = None
        self._load()
        self._rng.restore()

    def evaluate_untrained(self, probe: LoopProbe, limit: float | None = None) -> Evaluation:
        """The loop's model as it was; `probe` is active before and after."""
        self._leave()
        evaluation = probe.evaluate(limit)
        self.activate(probe)
        return evaluation

    def close(self) -> None:
        """Drop every probe and put everything back; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for probe in self._probes:
            probe.close()
        self._probes.clear()
        self._active = None
        steps: list[Callable[[], None]] = [self._modes.restore, self._load]
        if self._accelerate is not None:
            steps.append(self._accelerate.restore)
        restore_all([*steps, self._rng.restore])


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, begun anew whenever they end."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise PreflightError(
                "batches gave no batch in an epoch: it must return something that can be iterated "
                "again, such as a DataLoader or a list, or that never ends"
            )


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
