"""What two processes do for `test_distributed_loop`; run by torchrun, one JSON for each rank."""

from __future__ import annotations

import datetime
import faulthandler
import gc
import json
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset

from hf_ftrisk.errors import PeerFailedError
from tests.probing.test_loop import PlainLoop
from tests.probing.traces import digest, tensor_digest

# How long the user's own group waits for a rank that has left.
TIMEOUT = 10.0


class ShardedLoop(PlainLoop):
    """Parameters and optimizer state sharded over the ranks by FSDP2, and no accelerator."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        inputs = torch.randn(256, 4)
        labels = (inputs.sum(1) > 0).long()
        self.train_set = TensorDataset(inputs[:192], labels[:192])
        self.eval_set = TensorDataset(inputs[192:], labels[192:])
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 2)
        )
        fully_shard(self.model, mesh=init_device_mesh("cpu", (2,)))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-2)
        self.accelerator = None
        self.steps = 0

    def batches(self, seed: int) -> DataLoader:
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(self.train_set, batch_size=16, shuffle=True, generator=generator)

    def step(self, batch):
        self.steps += 1
        self.model.train()
        loss = torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": loss.detach()}

    def state_dict(self) -> dict:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def _weights(loop: PlainLoop) -> list[str]:
    state = loop.model.state_dict().values()
    return [tensor_digest(t.to_local() if isinstance(t, DTensor) else t) for t in state]


def _run(loop: PlainLoop) -> tuple[list[float], list[str]]:
    """Losses and weights of the whole run."""
    return loop.losses(), _weights(loop)


def _clean(kind: type[PlainLoop]) -> dict:
    """A pre-flight and the run after it, against the run alone."""
    # Evaluations are priced by the clock: the first one of a process would cost more than the run.
    warm = kind()
    real_losses = warm.losses()
    warm.evaluate(len(warm.eval_set))
    loop = kind()
    before = _weights(loop)
    report = loop.runner(timeout=TIMEOUT).run()
    untouched = _weights(loop) == before
    return {
        "report": digest(json.dumps(report.to_dict(), sort_keys=True)),
        "looks": [look.step for look in report.looks],
        "losses": report.probes[0].train_curve()[1].tolist(),
        "untouched": untouched,
        "identical": _run(loop) == _run(kind()),
        "real_losses": real_losses,
        "local_share": sum(_local_size(p) for p in loop.model.parameters())
        / sum(p.numel() for p in loop.model.parameters()),
    }


def _local_size(parameter: torch.Tensor) -> int:
    local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    return local.numel()


def _diverging(culprit: int) -> dict:
    """The loss is no number on one rank alone."""
    loop = PlainLoop()
    original = loop.step

    def step(batch):
        entry = original(batch)
        lost = dist.get_rank() == culprit and loop.steps > 2
        return {**entry, "loss": float("nan")} if lost else entry

    report = loop.runner(step=step, timeout=TIMEOUT, depths=[12]).run()
    return {"verdict": str(report.verdict), "steps": loop.steps}


def _failing(where: str, culprit: int, *, late: bool) -> dict:
    """What this rank sees of a failure on rank `culprit`, after what the loop's model reduces in
    its own group, or before it.
    """
    loop, calls = PlainLoop(), 0
    before = _weights(loop)
    original = getattr(loop, where)

    def fails(argument):
        nonlocal calls
        calls += 1
        result = original(argument) if late else None
        if calls == 2 and dist.get_rank() == culprit:
            raise RuntimeError(f"planted in {where}")
        return result if late else original(argument)

    start = time.perf_counter()
    try:
        loop.runner(**{where: fails}, timeout=TIMEOUT).run()
        seen = "nothing"
    except PeerFailedError as peer:
        seen = f"PeerFailedError: {peer}"
    except RuntimeError as own:
        seen = f"RuntimeError: {own}"
    return {
        "seen": seen,
        "seconds": time.perf_counter() - start,
        "untouched": _weights(loop) == before,
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(100, exit=True)
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=TIMEOUT))
    results = {
        "world": dist.get_world_size(),
        "clean": _clean(PlainLoop),
        "sharded": _clean(ShardedLoop),
        "diverging": [_diverging(culprit) for culprit in (0, 1)],
        "evaluate": [_failing("evaluate", culprit, late=True) for culprit in (0, 1)],
        "step": [_failing("step", culprit, late=True) for culprit in (0, 1)],
        "after": _run(PlainLoop()) == _run(PlainLoop()),
    }
    # Last: a rank that waits for the other's gradients ends with the loop's own group.
    results["early"] = _failing("step", 1, late=False)
    (folder / f"rank{dist.get_rank()}.json").write_text(json.dumps(results))
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
