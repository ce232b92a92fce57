"""What each command's ``--json`` prints, as types; and their JSON Schema files.

``python -m hf_ftrisk.cli.outputs`` writes ``hf_ftrisk/schemas/*.json``, which the wheel ships.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from hf_ftrisk.goal import Goal
from hf_ftrisk.history.run_history import ImportSummary
from hf_ftrisk.history.sharing import Pushed
from hf_ftrisk.hub import metadata
from hf_ftrisk.hub.fields import card_fields
from hf_ftrisk.hub.metadata import CardForecast, CardMetadata
from hf_ftrisk.hub.publishing import Published
from hf_ftrisk.replay.compare import Compared
from hf_ftrisk.replay.keep import Keep
from hf_ftrisk.replay.summary import Summary
from hf_ftrisk.report.findings import Look
from hf_ftrisk.report.schema import MEDIAN, Report, report_schema
from hf_ftrisk.verdict import Severity, Verdict

FOLDER = Path(__file__).parents[1] / "schemas"


class _Output(BaseModel):
    """No field beyond those named."""

    model_config = ConfigDict(extra="forbid")


class Finding(_Output):
    """A named failure: what was found, with its numbers, and one change to make."""

    name: str
    message: str
    advice: str
    severity: Severity
    evidence: dict[str, float | None]


class ReplayedLook(_Output):
    """A forecast on the way: what was known at a step, and the outcome as it was forecast there."""

    step: int
    median: Annotated[float | None, Field(description=MEDIAN)]
    low: float | None
    high: float | None
    prob_good: float | None
    observed: float | None
    share: float | None
    best: float | None


class ComparedRuns(_Output):
    """The run beside another, at equal shares of their plans."""

    name: str
    rows: list[Compared]
    behind_at: float | None
    worst: Compared | None


class ReplayedRun(_Output):
    """`replay --json` of a file or of a checkpoint's folder; each line of `follow --json`."""

    name: str
    goal: str
    goal_inferred: bool
    baseline: float | None
    status: Literal["finished", "running", "stopped"]
    last_step: int
    max_steps: int
    looks: list[ReplayedLook]
    stopped_at: int | None
    saved_share: float
    reason: str | None
    certain: bool
    outcome: float | None
    good: bool | None
    diagnoses: list[Finding]
    notes: list[str]
    keep: Keep | None
    finished_at: int | None = None
    given_up: float | None = None
    finished_by: str | None = None
    compared: ComparedRuns | None = None


class Refused(_Output):
    """What could not be read, and why."""

    name: str
    reason: str


class ReplayedFolder(_Output):
    """`hf-ftrisk replay --json` of any other folder: its runs, poor ones first."""

    runs: list[ReplayedRun]
    summary: Summary
    refused: list[Refused]


class CardGoal(_Output):
    """What the run was judged by."""

    metric: str
    target: float | None = None
    greater_is_better: bool
    kind: str | None = None


class CardEnd(_Output):
    """A forecast of the outcome, made at a step."""

    step: int
    median: Annotated[float, Field(description=MEDIAN)]
    low: float
    high: float
    level: float
    prob_good: float | None = None


class CardRisk(_Output):
    """The uncertainty that no probing removes, and the predictability regime."""

    intrinsic_std: float | None = None
    regime: str
    optimal_depth: float | None = None


class CardSteps(_Output):
    """Optimizer steps of the full run, and spent on the prediction."""

    full: int
    spent: float


# How a type of `CardMetadata` stands in a card.
_CARD_TYPES: dict[Any, Any] = {
    Verdict: Literal["GO", "NO_GO", "UNDECIDED"],
    Goal: CardGoal,
    CardForecast | None: CardEnd | None,
    metadata.CardRisk | None: CardRisk | None,
    tuple[str, ...]: list[str],
}
_CARD_GROUPS: dict[str, Any] = {"steps": CardSteps}


def _card_output() -> type[BaseModel]:
    """`hf-ftrisk card REPO --json`: the fields of `CardMetadata`."""
    types, cards = get_type_hints(CardMetadata), card_fields(CardMetadata)
    properties: dict[str, Any] = {"version": (int, ...)}
    for field in fields(CardMetadata):
        kind = _CARD_TYPES.get(types[field.name], types[field.name])
        group = cards[field.name].group
        if group:
            properties[group] = (_CARD_GROUPS[group], ...)
        elif field.default is MISSING:
            properties[field.name] = (kind, ...)
        elif isinstance(field.default, tuple):
            properties[field.name] = (kind, [])
        else:
            properties[field.name] = (kind | None, None)
    properties["report"] = (str | None, None)
    return create_model("Card", __base__=_Output, __doc__=_card_output.__doc__, **properties)


class HistoryTask(_Output):
    """Runs of one task from one source."""

    task: str | None
    source: str | None
    runs: int


class HistoryList(_Output):
    """`hf-ftrisk history list --json`."""

    tasks: list[HistoryTask]
    runs: int


class HistoryExport(_Output):
    """`hf-ftrisk history export --json`."""

    runs: int
    file: str


class RankedCandidate(_Output):
    """A candidate: what was spent on it, and how it is forecast to end."""

    model_config = ConfigDict(extra="allow")

    name: str


class Ranked(_Output):
    """`hf-ftrisk rank --json`."""

    format_version: int
    goal: dict[str, Any]
    budget: float
    spent: float
    unit: str
    notes: list[str]
    entries: list[RankedCandidate]


class RunTraining(_Output):
    """What was found of a training, before it and while it ran; null where nothing was."""

    training: int
    preflight: Report | None
    watch: Report | None


class RunEnded(_Output):
    """`hf-ftrisk run --json`: the exit status, and every training that was probed or watched."""

    status: int
    trainings: list[RunTraining]


class DemoSetting(_Output):
    """A setting of the demo: what was predicted before and in the run, and what came of it."""

    name: str
    title: str
    verdict: Literal["GO", "NO_GO", "UNDECIDED"]
    forecast_before: Look | None
    forecast_in_run: Look | None
    stopped_at: int | None
    outcome: float | None
    good: bool | None
    spent_steps: float
    saved_steps: int
    full_steps: int


class DemoResults(_Output):
    """`hf-ftrisk demo --json`."""

    task: Literal["text", "lm"]
    goal: str
    folder: str
    settings: list[DemoSetting]


class Extra(_Output):
    """An extra, what it lacks, and what to type."""

    extra: str
    installed: bool
    missing: list[str]
    install: str


class WouldRefuse(_Output):
    """What would be refused or left out here, why, and what to type; empty where nothing helps."""

    what: str
    why: str
    do: str


class Doctor(_Output):
    """`hf-ftrisk doctor --json`."""

    hf_ftrisk: str
    python: str
    platform: str
    device: str
    versions: dict[str, str]
    extras: list[Extra]
    refused: list[WouldRefuse]


# File name -> what is described.
OUTPUTS: dict[str, Any] = {
    "replay": ReplayedRun,
    "replay-folder": ReplayedFolder,
    "card": _card_output(),
    "publish": Published,
    "history-list": HistoryList,
    "history-import": ImportSummary,
    "history-export": HistoryExport,
    "history-push": Pushed,
    "rank": Ranked,
    "run": RunEnded,
    "demo": DemoResults,
    "doctor": Doctor,
}


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by its name."""
    schemas_by_name = {
        name: TypeAdapter(kind).json_schema(mode="serialization") for name, kind in OUTPUTS.items()
    }
    schemas_by_name["report"] = report_schema()
    for name, schema in schemas_by_name.items():
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["$id"] = f"hf-ftrisk/{name}"
    return schemas_by_name


def written(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(written(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
