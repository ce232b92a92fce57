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

from hf_ftrisk.preflight import PeerFailedError
from tests.preflight.test_loop import PlainLoop
from tests.preflight.traces import digest, tensor_digest

# How long the user's own group waits for a rank that has left.
TIMEOUT = 10.0


def _weights(loop: PlainLoop) -> list[str]:
    return [tensor_digest(tensor) for tensor in loop.model.state_dict().values()]


def _clean() -> dict:
    """A pre-flight and the run after it, against the run alone."""
    loop = PlainLoop()
    before = _weights(loop)
    report = loop.runner(timeout=TIMEOUT).run()
    untouched = _weights(loop) == before
    return {
        "report": digest(json.dumps(report.to_dict(), sort_keys=True)),
        "looks": [look.step for look in report.looks],
        "losses": report.probes[0].train_curve()[1].tolist(),
        "untouched": untouched,
        "identical": loop.run() == PlainLoop().run(),
        "real_losses": PlainLoop().run()[0],
    }


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
        "clean": _clean(),
        "diverging": [_diverging(culprit) for culprit in (0, 1)],
        "evaluate": [_failing("evaluate", culprit, late=True) for culprit in (0, 1)],
        "step": [_failing("step", culprit, late=True) for culprit in (0, 1)],
        "after": PlainLoop().run() == PlainLoop().run(),
    }
    # Last: a rank that waits for the other's gradients ends with the loop's own group.
    results["early"] = _failing("step", 1, late=False)
    (folder / f"rank{dist.get_rank()}.json").write_text(json.dumps(results))
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
