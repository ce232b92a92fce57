"""hf_ftrisk: how a Hugging Face fine-tune will end, told before and early in the run.

The public names below are imported on first use, so that `import hf_ftrisk` stays fast and the
parts without torch never load it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_ftrisk._version import __version__ as __version__
from hf_ftrisk.extras import named_extras

if TYPE_CHECKING:
    from hf_ftrisk.choosing import rank
    from hf_ftrisk.forecast.distribution import Forecast
    from hf_ftrisk.forecast.forecaster import Forecaster
    from hf_ftrisk.goal import Goal
    from hf_ftrisk.history import RunHistory
    from hf_ftrisk.hub import CardMetadata, attach_card, publish
    from hf_ftrisk.probing.loop.loop import TrainingLoop
    from hf_ftrisk.probing.runner import PreflightRunner, preflight
    from hf_ftrisk.record import RunRecord
    from hf_ftrisk.report import RiskReport
    from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve
    from hf_ftrisk.verdict import Verdict
    from hf_ftrisk.watch.callback import FineTuneRiskCallback
    from hf_ftrisk.watch.loop import watch_loop

_HOMES = {
    "CardMetadata": "hf_ftrisk.hub",
    "FineTuneRiskCallback": "hf_ftrisk.watch.callback",
    "Forecast": "hf_ftrisk.forecast.distribution",
    "Forecaster": "hf_ftrisk.forecast.forecaster",
    "Goal": "hf_ftrisk.goal",
    "PreflightRunner": "hf_ftrisk.probing.runner",
    "RiskDecomposition": "hf_ftrisk.risk",
    "RiskReport": "hf_ftrisk.report",
    "RunHistory": "hf_ftrisk.history",
    "RunRecord": "hf_ftrisk.record",
    "TrainingLoop": "hf_ftrisk.probing.loop.loop",
    "Verdict": "hf_ftrisk.verdict",
    "attach_card": "hf_ftrisk.hub",
    "fit_risk_curve": "hf_ftrisk.risk",
    "preflight": "hf_ftrisk.probing.runner",
    "publish": "hf_ftrisk.hub",
    "rank": "hf_ftrisk.choosing",
    "watch_loop": "hf_ftrisk.watch.loop",
}

__all__ = [
    "CardMetadata",
    "FineTuneRiskCallback",
    "Forecast",
    "Forecaster",
    "Goal",
    "PreflightRunner",
    "RiskDecomposition",
    "RiskReport",
    "RunHistory",
    "RunRecord",
    "TrainingLoop",
    "Verdict",
    "attach_card",
    "fit_risk_curve",
    "preflight",
    "publish",
    "rank",
    "watch_loop",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with named_extras():
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
