"""Ray: the same ranking on a real local cluster of two workers, one killed on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer, TrainerCallback

from hf_ftrisk.choosing import rank
from tests.watch.tiny import bert_trainer

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

import ray

from tests.ray_cluster import start_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    start_cluster(2)
    yield
    ray.shutdown()


class Killed(TrainerCallback):
    """Ends its process without a word at a step, once."""

    def __init__(self, mark: Path, step: int) -> None:
        self._mark, self._step = mark, step

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The step is reached."""
        if state.global_step == self._step and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def makers(folder: Path, mark: Path | None) -> dict[str, Callable[[], Trainer]]:
    def make(rate: float) -> Trainer:
        callbacks = [Killed(mark, 3)] if mark is not None and rate == 2e-2 else []
        return bert_trainer(folder / "own", learning_rate=rate, callbacks=callbacks)

    return {f"lr={rate}": lambda rate=rate: make(rate) for rate in (2e-2, 1e-4, 1e-7)}


def outcome(ranking: Any) -> list[tuple[str, int, float, list[float]]]:
    return [(e.name, e.step, e.prob_best, e.forecast.interval(0.9)) for e in ranking.entries]


@pytest.mark.usefixtures("_cluster")
def test_a_cluster_ranks_as_one_process_does_though_a_worker_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    settings: dict[str, Any] = {"budget": 0.3, "at_once": 2, "signal_seconds": 0}
    far = rank(
        makers(tmp_path, mark), "eval_accuracy", engine="ray", folder=tmp_path / "ray", **settings
    )
    assert mark.exists()
    near = rank(makers(tmp_path, None), "eval_accuracy", folder=tmp_path / "local", **settings)
    assert outcome(far) == outcome(near)


@pytest.mark.usefixtures("_cluster")
def test_resources_for_a_stranger_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name no candidate: \\['x'\\]"):
        rank(
            makers(tmp_path, None),
            "eval_accuracy",
            engine="ray",
            folder=tmp_path / "ray",
            resources={"x": {"num_cpus": 1}},
        )


def test_resources_without_ray_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="engine='ray'"):
        rank(makers(tmp_path, None), "eval_accuracy", folder=tmp_path, resources={})
