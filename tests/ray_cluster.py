"""A local Ray cluster for tests."""

from __future__ import annotations

import os
from pathlib import Path

import ray


def start_cluster(processors: int) -> None:
    """Begin one whose workers find the tests, and have as much of the machine as others do."""
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    root = str(Path(__file__).parents[1])
    ray.init(
        num_cpus=processors,
        include_dashboard=False,
        _system_config={"worker_niceness": 0},  # or they starve beside other work
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}},
    )
