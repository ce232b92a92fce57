"""A plugin for axolotl: pre-flight and callback in every Trainer that it builds.

In axolotl's YAML::

    plugins:
      - hf_ftrisk.integrations.axolotl.FtriskPlugin
    ftrisk:
      goal: eval_loss<=1.2
      report_dir: reports

axolotl imports this module; nothing else of the package does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel, ConfigDict

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind
from hf_ftrisk.run.followed import judge_this_process
from hf_ftrisk.run.options import RunOptions


class FtriskOptions(BaseModel):
    """What stands under ``ftrisk:``, as the options of ``hf-ftrisk run``; all may be left out."""

    model_config = ConfigDict(extra="forbid")

    goal: str | list[str] | None = None
    kind: MetricKind | None = None
    preflight: bool = True
    watch: bool = True
    budget: float = 0.05
    seeds: int = 3
    action: Literal["warn", "stop"] = "stop"
    rule: str = "calibrated"
    finish: Literal["gain", "goal", "anneal"] | None = None
    tolerance: float | None = None
    report_dir: Path | None = None
    history: Path | None = None

    def run_options(self) -> RunOptions:
        """The same, checked.

        Raises:
            ValueError: a value out of range, a goal that cannot be read, by name.
        """
        given = self.model_dump(exclude={"goal"})
        texts = [self.goal] if isinstance(self.goal, str) else self.goal or []
        goals = tuple(Goal.parse(text, kind=self.kind) for text in texts)
        return RunOptions(goals=goals, **given)


class FtriskArgs(BaseModel):
    """What the plugin adds to axolotl's configuration."""

    ftrisk: FtriskOptions | None = None


class FtriskPlugin(BasePlugin):  # type: ignore[misc]  # axolotl has no types
    """Judges what axolotl trains, as ``hf-ftrisk run`` does; under that command it leaves it be."""

    def get_input_args(self) -> str:
        """Name of the model of the configuration's own part."""
        return f"{FtriskArgs.__module__}.{FtriskArgs.__qualname__}"

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """The Trainer is there, and has not trained.

        Raises:
            ValueError: options that cannot work.
        """
        given = FtriskOptions.model_validate(dict(cfg.get("ftrisk") or {}))
        judge_this_process(given.run_options())
