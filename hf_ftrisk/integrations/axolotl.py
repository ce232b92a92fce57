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

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from axolotl.integrations.base import BasePlugin
from pydantic import ConfigDict, create_model

from hf_ftrisk.goal import Goal
from hf_ftrisk.run.followed import judge_this_process
from hf_ftrisk.run.options import RunOptions

_TYPES = get_type_hints(RunOptions)
_SHARED: dict[str, Any] = {
    field.name: (_TYPES[field.name], field.default)
    for field in fields(RunOptions)
    if field.name != "goals"
}
# What stands under ``ftrisk:``: the options of ``hf-ftrisk run``, and goals as text.
FtriskOptions = create_model(
    "FtriskOptions",
    __config__=ConfigDict(extra="forbid"),
    __module__=__name__,
    goal=(str | list[str] | None, None),
    **_SHARED,
)
# What the plugin adds to axolotl's configuration.
FtriskArgs = create_model("FtriskArgs", __module__=__name__, ftrisk=(FtriskOptions | None, None))


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """The options under ``ftrisk:``, checked.

    Raises:
        ValueError: a name that is none of them, a value out of range, a goal that cannot be read.
    """
    read = FtriskOptions.model_validate(dict(given)).model_dump()
    goal = read.pop("goal")
    texts = [goal] if isinstance(goal, str) else goal or []
    goals = tuple(Goal.parse(text, kind=read["kind"]) for text in texts)
    return RunOptions(goals=goals, **read)


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
        judge_this_process(run_options(cfg.get("ftrisk") or {}))
