"""Probe any Trainer before it trains, and leave no trace."""

import sys
from types import ModuleType
from typing import Any

from hf_ftrisk.goal import Goal
from hf_ftrisk.preflight.errors import (
    PeerFailedError,
    PreflightArgumentError,
    PreflightError,
    PreflightUnsupportedError,
)
from hf_ftrisk.preflight.runner import PreflightRunner, preflight
from hf_ftrisk.report import RiskReport

__all__ = [
    "PeerFailedError",
    "PreflightArgumentError",
    "PreflightError",
    "PreflightRunner",
    "PreflightUnsupportedError",
    "preflight",
]


class _CallablePackage(ModuleType):
    """This package, which can be called like the function in it.

    ``hf_ftrisk.preflight`` names both: importing the package binds the name to it, whatever
    ``hf_ftrisk`` says. So ``from hf_ftrisk import preflight`` may give the package, and calling
    that must do what the name says.
    """

    def __call__(self, trainer: Any, goal: Goal | str, **settings: Any) -> RiskReport:
        return preflight(trainer, goal, **settings)


_CallablePackage.__call__.__doc__ = preflight.__doc__
sys.modules[__name__].__class__ = _CallablePackage
