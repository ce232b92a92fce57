"""What a report's JSON may hold: type and range of every field, checked before anything is built.

A report may come from a stranger, or from a newer release. Fields of the report itself that this
release does not know are left out; fields it does not know inside a part, whose meaning they could
change, are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    create_model,
    model_validator,
)

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind
from hf_ftrisk.report.findings import OLD_MEDIAN, Cost, Finish, Look, Stage
from hf_ftrisk.risk.decay import Form
from hf_ftrisk.risk.regimes import NamedRegime
from hf_ftrisk.verdict import Diagnosis

_MAX_VALUES = 1_000_000
_MAX_TEXT = 100_000


def _encodable(value: JsonValue) -> JsonValue:
    # Half of a surrogate pair can stand in JSON, by its number, and in no file.
    json.dumps(value, ensure_ascii=False).encode()
    return value


Step = Annotated[int, Field(ge=0, le=1 << 53)]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Count = Annotated[float, Field(ge=0, le=1e300)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(max_length=_MAX_TEXT)]
Texts = Annotated[list[Text], Field(max_length=10_000)]
# Of plain JSON, with text alone that a file can hold.
Settings = dict[Text, Annotated[JsonValue, AfterValidator(_encodable)]]
# A number as a record stores it: null for NaN, words for infinities.
Cell = float | None | Literal["inf", "-inf"]
Cells = Annotated[list[Cell], Field(max_length=_MAX_VALUES)]
# What is not finite is null in a report.
Numbers = dict[str, Number | None]


class _Part(BaseModel):
    """A part of a report: no field beyond those named, no text for a number."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _part(kind: type, /, **stricter: Any) -> type[_Part]:
    """The schema of a dataclass, from the types of its fields.

    Args:
        kind: the dataclass.
        stricter: field -> a type that says more than the annotation.
    """
    hints = get_type_hints(kind)
    declared: dict[str, Any] = {}
    for field in fields(kind):
        required = field.default is MISSING and field.default_factory is MISSING
        declared[field.name] = (
            stricter.get(field.name, hints[field.name]),
            ... if required else None,
        )
    return create_model(kind.__name__, __base__=_Part, **declared)


_GOAL = _part(
    Goal, metric=Annotated[str, Field(min_length=1, max_length=1000)], kind=MetricKind | None
)


def _not_negative(hint: Any) -> Any:
    number = Step if "int" in str(hint) else Count
    return number | None if "None" in str(hint) else number


_COST = _part(
    Cost,
    full_steps=Annotated[int, Field(ge=1, le=1 << 53)],
    currency=Text | None,
    **{
        name: _not_negative(hint)
        for name, hint in get_type_hints(Cost).items()
        if name not in ("full_steps", "currency")
    },
)
MEDIAN = "Median of the forecast of the final value; reports and cards of 0.1 call it `mean`."
Median = Annotated[
    Number,
    Field(validation_alias=AliasChoices("median", OLD_MEDIAN), description=MEDIAN),
]
_LOOK = _part(
    Look, step=Step, median=Median, low=Number, high=Number, prob_good=Share | None,
    observed=Number | None,
)  # fmt: skip
_FINISH = _part(
    Finish, step=Step, best=Number, best_step=Step, expected_gain=Number | None,
    most_gain=Number | None, tolerance=Count | None, reason=Text,
)  # fmt: skip
_DIAGNOSIS = _part(Diagnosis, name=Text, message=Text, advice=Text, evidence=Numbers)


class _Forecast(_Part):
    step: Step
    source: Text
    mean: Number
    std: Count
    samples: Annotated[list[Number], Field(min_length=1, max_length=_MAX_VALUES)]


class _Energy(_Part):
    depths: Annotated[list[Count], Field(min_length=2, max_length=10_000)]
    share: list[Share]
    total: Count

    @model_validator(mode="after")
    def _fits(self) -> _Energy:
        rising = all(a < b for a, b in zip(self.depths, self.depths[1:], strict=False))
        falling = all(a >= b for a, b in zip(self.share, self.share[1:], strict=False))
        if len(self.share) != len(self.depths) or not rising or not falling:
            raise ValueError("depths must rise and shares fall, one for each depth")
        return self


class _Decay(_Part):
    anchor: Annotated[float, Field(gt=0, le=1e300)]
    horizon: Annotated[float, Field(gt=0, le=1e300)] | None
    energy: _Energy | None


class _Draws(_Part):
    decay: _Decay
    forms: Annotated[list[Form], Field(min_length=1, max_length=4)]
    form: Annotated[list[Step], Field(min_length=1, max_length=_MAX_VALUES)]
    intrinsic: list[Count]
    amplitude: list[Count]
    exponent: list[Number]

    @model_validator(mode="after")
    def _fits(self) -> _Draws:
        lengths = {len(self.form), len(self.intrinsic), len(self.amplitude), len(self.exponent)}
        if len(lengths) > 1 or max(self.form) >= len(self.forms):
            raise ValueError("draws must have one form, level, amplitude and exponent each")
        tails = self.decay.energy is not None
        bounded = self.decay.horizon is not None and self.decay.horizon > self.decay.anchor
        for name in self.forms:
            if (name == "horizon" and not bounded) or (name.startswith("tail") and not tails):
                raise ValueError(
                    f"the form {name!r} needs a horizon or a schedule that is not there"
                )
        return self


class _Decomposition(_Part):
    format_version: int
    draws: _Draws
    weights: Annotated[dict[Form, Share], Field(min_length=1)]
    intrinsic: Count
    K: Number | None
    alpha: Number | None
    identified: dict[Literal["intrinsic", "K", "alpha", "b"], bool]
    reasons: dict[str, Text]
    log_bayes_decay: Number
    floor: Count
    tolerance: Annotated[float, Field(gt=0, le=1e300)] | None
    regime: Text
    regime_probabilities: dict[NamedRegime, Share]
    notes: Texts

    @model_validator(mode="after")
    def _fits(self) -> _Decomposition:
        if "intrinsic" not in self.identified:
            raise ValueError("identified must have the key 'intrinsic'")
        return self


class _Record(BaseModel):
    """A run; `RunRecord` checks lengths and order."""

    model_config = ConfigDict(strict=True, extra="ignore")

    format_version: int
    max_steps: Annotated[int, Field(ge=1, le=1 << 53)]
    train_step: Cells = []
    train_loss: Cells = []
    grad_norm: Cells = []
    learning_rate: Cells = []
    eval_step: Cells = []
    evals: dict[str, Cells] = {}
    nan_steps: dict[str, Cells] = {}
    schedule: Cells | None = None
    steps_per_epoch: Annotated[float, Field(gt=0)] | None = None
    status: Literal["finished", "running", "stopped"] = "finished"
    task: Text | None = None
    seed: int | None = None
    load_best: bool = False
    metric_for_best: Text | None = None
    greater_is_better: bool | None = None
    baselines: dict[str, Cell] = {}
    final: dict[str, Cell] = {}
    settings: Settings = {}
    static: dict[str, Cell] = {}


class Report(BaseModel):
    """Everything that was found of one fine-tune."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    stage: Stage
    goal: _GOAL  # type: ignore[valid-type]
    verdict: Literal["GO", "NO_GO", "UNDECIDED"]
    reasons: Texts
    forecast: _Forecast | None
    decomposition: _Decomposition | None
    diagnoses: Annotated[list[_DIAGNOSIS], Field(max_length=10_000)]  # type: ignore[valid-type]
    cost: _COST  # type: ignore[valid-type]
    baseline: Number | None
    looks: Annotated[list[_LOOK], Field(max_length=_MAX_VALUES)]  # type: ignore[valid-type]
    probes: Annotated[list[_Record], Field(max_length=10_000)]
    run: _Record | None
    risk_curve: list[Annotated[list[Count], Field(min_length=3, max_length=3)]]
    optimal_depth: Count | None
    outcome: Number | None
    stopped_at: Step | None
    finish: _FINISH | None = None  # type: ignore[valid-type]  # not in reports of 0.1
    signals: Numbers
    settings: Settings
    notes: Texts


def report_schema() -> dict[str, Any]:
    """JSON Schema of a report, as `RiskReport.save` writes it and ``--json`` prints it."""
    return Report.model_json_schema()


def check(data: Mapping[str, Any]) -> None:
    """Refuse what is no report.

    Raises:
        ValueError: the first fields that are not what they must be, and what they are.
    """
    try:
        Report.model_validate(dict(data))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        messages = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}, got {ascii(item['input'])[:60]}"
            for item in problems[:3]
        ]
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(f"not a report: {'; '.join(messages)}{more}") from None
