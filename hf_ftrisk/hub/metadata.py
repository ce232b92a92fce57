"""The prediction as the metadata of a model card: written, and read back.

It stands under the key ``ftrisk`` of the card's front matter: small, versioned, plain data, a
prediction and nothing else, and so nowhere near ``model-index``, which is for measurements. What is
read back may come from anybody: it is checked, and text in it is one clean line.
"""

# Annotations are evaluated as they stand: those of `CardMetadata` hold functions.

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hf_ftrisk._version import __version__
from hf_ftrisk.errors import CardError
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub import fields
from hf_ftrisk.hub.fields import CardField, card_fields
from hf_ftrisk.hub_repo.card import metadata
from hf_ftrisk.jsonfile import read_bytes
from hf_ftrisk.report.findings import OLD_MEDIAN
from hf_ftrisk.report.wording import LEVEL
from hf_ftrisk.text import printable
from hf_ftrisk.verdict import Verdict, diagnosis_name

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

KEY = "ftrisk"
TAG = "ftrisk"
CARD_FILE = "README.md"
REPORT_FILE = "ftrisk/report.json"
METADATA_VERSION = 2
# Version 1, of release 0.1, called the median of a forecast `mean`.
READ_VERSIONS = (1, 2)
MAX_DIAGNOSES = 20
MAX_CARD_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class CardForecast:
    """A forecast of the final metric, as a card holds it.

    Args:
        median: the forecast of the final value (cards of version 1 call it `mean`).
        low: lower end of the interval.
        high: upper end of the interval.
        level: probability that the interval holds, in (0, 1).
        prob_good: probability that the goal is met; None without target and baseline.
        step: optimizer steps the forecast had seen.
    """

    median: float
    low: float
    high: float
    level: float
    prob_good: float | None = None
    step: int


@dataclass(frozen=True, kw_only=True)
class CardRisk:
    """Where the uncertainty comes from, as a card holds it.

    Args:
        intrinsic_std: spread that no probing removes, in units of the metric; None: unidentified.
        regime: name of the regime, or ``"unidentified"``.
        optimal_depth: probing depth c* that pays best, optimizer steps.
    """

    intrinsic_std: float | None = None
    regime: str
    optimal_depth: float | None = None


# --- fields of more than one number --------------------------------------------------------------


def _last_forecast(report: "RiskReport") -> CardForecast | None:
    forecast = report.forecast
    if forecast is None:
        return None
    low, high = forecast.interval(LEVEL)
    return CardForecast(
        median=forecast.point,
        low=low,
        high=high,
        level=LEVEL,
        prob_good=report.prob_good,
        step=forecast.step,
    )


def _early_forecast(report: "RiskReport") -> CardForecast | None:
    look = report.early_look
    if look is None:
        return None
    return CardForecast(
        median=look.median,
        low=look.low,
        high=look.high,
        level=LEVEL,
        prob_good=look.prob_good,
        step=look.step,
    )


def _read_forecast(data: Mapping[str, Any], name: str) -> CardForecast | None:
    if data.get(name) is None:
        return None
    numbers = fields.mapping(data, name)
    return CardForecast(
        median=fields.required(numbers, OLD_MEDIAN if OLD_MEDIAN in numbers else "median"),
        low=fields.required(numbers, "low"),
        high=fields.required(numbers, "high"),
        level=fields.required(numbers, "level"),
        step=fields.required_whole(numbers, "step"),
        prob_good=fields.number(numbers, "prob_good"),
    )


def _risk(report: "RiskReport") -> CardRisk | None:
    """Variances are given as standard deviations."""
    decomposition = report.decomposition
    if decomposition is None:
        return None
    identified = decomposition.identified["intrinsic"]
    return CardRisk(
        regime=str(decomposition.regime),
        intrinsic_std=math.sqrt(max(decomposition.intrinsic, 0.0)) if identified else None,
        optimal_depth=report.optimal_depth,
    )


def _read_risk(data: Mapping[str, Any], name: str) -> CardRisk | None:
    if name not in data:
        return None
    risk = fields.mapping(data, name)
    return CardRisk(
        regime=fields.text(risk, "regime"),
        intrinsic_std=fields.number(risk, "intrinsic_std"),
        optimal_depth=fields.number(risk, "optimal_depth"),
    )


def _goal_dict(goal: Goal) -> dict[str, Any]:
    return {
        "metric": goal.metric,
        "target": goal.target,
        "greater_is_better": goal.greater_is_better,
        "kind": None if goal.kind_inferred else goal.kind,
    }


def _read_goal(data: Mapping[str, Any], name: str) -> Goal:
    goal = fields.mapping(data, name)
    metric, direction = fields.text(goal, "metric"), goal.get("greater_is_better")
    if not (direction is None or isinstance(direction, bool)):
        raise CardError(
            f"the card's greater_is_better must be a bool, got {fields.shown(direction)}"
        )
    target, kind = fields.number(goal, "target"), goal.get("kind")
    # Release 0.1 left out that a kind was asked for: values outside the usual range say so.
    for possible_kind in (kind, "real"):
        try:
            return Goal(metric, target=target, greater_is_better=direction, kind=possible_kind)
        except ValueError as error:
            refused = error
    raise CardError(f"the card's goal is not valid: {printable(refused)}")


def _read_verdict(data: Mapping[str, Any], name: str) -> Verdict:
    try:
        return Verdict(str(data.get(name)))
    except ValueError:
        raise CardError(
            f"the card's verdict must be one of {', '.join(Verdict)}, "
            f"got {fields.shown(data.get(name))}"
        ) from None


def _read_diagnoses(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(diagnosis_name(one) for one in fields.names(data, name)[:MAX_DIAGNOSES])


@dataclass(frozen=True, kw_only=True)
class CardMetadata:
    """What a card says of how its model's fine-tuning was predicted to end, and how it did.

    Each field says in one line how it comes from a report, onto a card and back; the JSON Schema
    of ``hf-ftrisk card --json`` is made from them.

    Args:
        hf_ftrisk: release that wrote it.
        stage: ``"preflight"`` before the run, ``"watch"`` while it went on.
        verdict: GO, NO_GO or UNDECIDED.
        goal: what the run was judged by.
        baseline: value of a trivial predictor.
        forecast: the last forecast; None where none was made.
        early_forecast: the first forecast from a tenth of the run on, where the last came late.
        outcome: true final value, once known.
        risk: where the uncertainty comes from; None where it was not estimated.
        full_steps: optimizer steps of the full run.
        spent_steps: optimizer steps spent, on probing or on the watched run itself.
        stopped_at: step at which the run was stopped, None if it was not.
        diagnoses: names of the diagnoses.

    Examples:
        >>> card = CardMetadata.from_dict(
        ...     {
        ...         "version": 2,
        ...         "stage": "watch",
        ...         "verdict": "GO",
        ...         "goal": {"metric": "eval_accuracy", "target": 0.8},
        ...         "steps": {"full": 100, "spent": 10},
        ...     }
        ... )
        >>> card.verdict, card.goal.target
        (<Verdict.GO: 'GO'>, 0.8)
    """

    hf_ftrisk: Annotated[str, CardField(lambda _: __version__, fields.optional_text)] = __version__
    stage: Annotated[str, CardField(lambda report: report.stage, fields.text)]
    verdict: Annotated[Verdict, CardField(lambda report: report.verdict, _read_verdict, str)]
    goal: Annotated[Goal, CardField(lambda report: report.goal, _read_goal, _goal_dict)]
    baseline: Annotated[float | None, CardField(lambda report: report.baseline, fields.number)] = (
        None
    )
    forecast: Annotated[CardForecast | None, CardField(_last_forecast, _read_forecast)] = None
    early_forecast: Annotated[CardForecast | None, CardField(_early_forecast, _read_forecast)] = (
        None
    )
    outcome: Annotated[float | None, CardField(lambda report: report.outcome, fields.number)] = None
    risk: Annotated[CardRisk | None, CardField(_risk, _read_risk)] = None
    full_steps: Annotated[
        int,
        CardField(
            lambda report: report.cost.full_steps,
            fields.required_whole,
            group="steps",
            key="full",
        ),
    ]
    spent_steps: Annotated[
        float,
        CardField(
            lambda report: report.cost.spent_steps, fields.required, group="steps", key="spent"
        ),
    ]
    stopped_at: Annotated[int | None, CardField(lambda report: report.stopped_at, fields.whole)] = (
        None
    )
    diagnoses: Annotated[
        tuple[str, ...],
        CardField(
            lambda report: tuple(one.name for one in report.diagnoses[:MAX_DIAGNOSES]),
            _read_diagnoses,
            list,
        ),
    ] = ()

    @classmethod
    def from_report(cls, report: "RiskReport") -> "CardMetadata":
        """What is told of a report; variances are given as standard deviations."""
        return cls(**{name: card.of_report(report) for name, card in card_fields(cls).items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for YAML: six significant digits, absent values left out."""
        data: dict[str, Any] = {"version": METADATA_VERSION}
        for name, card in card_fields(type(self)).items():
            group = data.setdefault(card.group, {}) if card.group else data
            group[card.key or name] = card.plain(getattr(self, name))
        return fields.compact({**data, "report": REPORT_FILE})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CardMetadata":
        """Metadata from `to_dict`'s form, as a card holds them.

        Raises:
            CardError: another version, or something that no release has written.
        """
        version = data.get("version")
        if version not in READ_VERSIONS:
            raise CardError(
                f"the card's prediction has version {fields.shown(version)}, this release reads "
                f"{' and '.join(map(str, READ_VERSIONS))}"
            )
        return cls(
            **{
                name: card.read(
                    fields.mapping(data, card.group) if card.group else data, card.key or name
                )
                for name, card in card_fields(cls).items()
            }
        )

    @classmethod
    def from_card(cls, card: str | Path, *, revision: str | None = None) -> "CardMetadata":
        """The prediction in a card.

        Args:
            card: a card's text, its file, a folder with a ``README.md``, or a model on the Hub,
                ``owner/name``.
            revision: branch or commit on the Hub; None for main.

        Raises:
            CardError: no card, one that cannot be read, or one without a prediction.
            HubError: the Hub cannot be used.
        """
        entry = metadata(read_card(card, revision=revision)).get(KEY)
        if not isinstance(entry, Mapping):
            raise CardError(
                f"this card holds no prediction: its metadata have no key {KEY!r}. "
                "`hf-ftrisk publish` puts one in"
            )
        return cls.from_dict(entry)


def read_card(card: str | Path, *, revision: str | None = None) -> str:
    """Text of a card that is given as `CardMetadata.from_card` takes it.

    Raises:
        CardError: there is none, or a file far larger than one.
        HubError: the Hub cannot be used.
    """
    if isinstance(card, str) and "\n" in card:
        return card
    file = Path(card)
    if file.is_dir():
        file = file / CARD_FILE
    if file.is_file():
        try:
            return read_bytes(file, MAX_CARD_BYTES).decode(errors="replace")
        except ValueError as error:
            raise CardError(f"no card: {error}") from None
    if isinstance(card, Path) or card.count("/") != 1 or card.startswith((".", "/", "~")):
        raise CardError(f"no card at {card}: expected a file, a folder with one, or owner/name")
    from hf_ftrisk.hub_repo.repository import Repository

    repository = Repository(card, "model", revision=revision)
    content = repository.read(CARD_FILE, repository.head())
    if content is None:
        raise CardError(f"{card} on the Hub has no card")
    return content.decode(errors="replace")
