"""The callback by name for ms-swift: --external_plugins swift_plugin.py --callbacks ftrisk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift.callbacks import callbacks_map

from hf_ftrisk import FineTuneRiskCallback


def ftrisk(args: Any, trainer: Any) -> FineTuneRiskCallback:
    """The callback of a run: ms-swift gives its arguments and its Trainer."""
    return FineTuneRiskCallback("eval_loss", report_dir=Path(args.output_dir) / "ftrisk")


callbacks_map["ftrisk"] = ftrisk
