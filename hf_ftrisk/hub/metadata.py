"""The prediction as the metadata of a model card: written, and read back.

It stands under the key ``ftrisk`` of the card's front matter: small, versioned, plain data, a
prediction and nothing else, and so nowhere near ``model-index``, which is for measurements. What is
read back may come from anybody: it is checked, and text in it is one clean line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_ftrisk._version import __version__
from hf_ftrisk.errors import CardError
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub_repo.card import metadata
from hf_ftrisk.report.wording import LEVEL
from hf_ftrisk.text import printable
from hf_ftrisk.verdict import Verdict, diagnosis_name

if TYPE_CHECKING:
    from hf_ftrisk.report import Look, RiskReport

KEY = "ftrisk"
TAG = "ftrisk"
CARD_FILE = "README.md"
REPORT_FILE = "ftrisk/report.json"
METADATA_VERSION = 1
MAX_DIAGNOSES = 20

_MAX_NAME = 120
_LARGEST = 1e300


@dataclass(frozen=True)
class CardForecast:
    """A forecast of the final metric, as a card holds it.

    Args:
        mean: the forecast of the final value, its median (cards of 0.1.0: the mean).
        low: lower end of the interval.
        high: upper end of the interval.
        level: probability that the interval holds, in (0, 1).
        step: optimizer steps the forecast had seen.
        prob_good: probability that the goal is met; None without target and baseline.
    """

    mean: float
    low: float
    high: float
    level: float
    step: int
    prob_good: float | None = None


@dataclass(frozen=True)
class CardRisk:
    """Where the uncertainty comes from, as a card holds it.

    Args:
        regime: name of the regime, or ``"unidentified"``.
        intrinsic_std: spread that no probing removes, in units of the metric; None: unidentified.
        optimal_depth: probing depth c* that pays best, optimizer steps.
    """

    regime: str
    intrinsic_std: float | None = None
    optimal_depth: float | None = None


@dataclass(frozen=True)
class CardMetadata:
    """What a card says of how its model's fine-tuning was predicted to end, and how it did.

    Args:
        verdict: GO, NO_GO or UNDECIDED.
        stage: ``"preflight"`` before the run, ``"watch"`` while it went on.
        goal: what the run was judged by.
        full_steps: optimizer steps of the full run.
        spent_steps: optimizer steps spent, on probing or on the watched run itself.
        forecast: the last forecast; None where none was made.
        early_forecast: the first forecast from a tenth of the run on, where the last came late.
        outcome: true final value, once known.
        baseline: value of a trivial predictor.
        risk: where the uncertainty comes from; None where it was not estimated.
        stopped_at: step at which the run was stopped, None if it was not.
        diagnoses: names of the diagnoses.
        hf_ftrisk: release that wrote it.

    Examples:
        >>> card = CardMetadata.from_dict(
        ...     {
        ...         "version": 1,
        ...         "stage": "watch",
        ...         "verdict": "GO",
        ...         "goal": {"metric": "eval_accuracy", "target": 0.8},
        ...         "steps": {"full": 100, "spent": 10},
        ...     }
        ... )
        >>> card.verdict, card.goal.target
        (<Verdict.GO: 'GO'>, 0.8)
    """

    verdict: Verdict
    stage: str
    goal: Goal
    full_steps: int
    spent_steps: float
    forecast: CardForecast | None = None
    early_forecast: CardForecast | None = None
    outcome: float | None = None
    baseline: float | None = None
    risk: CardRisk | None = None
    stopped_at: int | None = None
    diagnoses: tuple[str, ...] = ()
    hf_ftrisk: str = __version__

    @classmethod
    def from_report(cls, report: RiskReport) -> CardMetadata:
        """What is told of a report; variances are given as standard deviations."""
        early = report.early_look
        risk = None
        if report.decomposition is not None:
            decomposition = report.decomposition
            identified = decomposition.identified["intrinsic"]
            risk = CardRisk(
                regime=str(decomposition.regime),
                intrinsic_std=math.sqrt(max(decomposition.intrinsic, 0.0)) if identified else None,
                optimal_depth=report.optimal_depth,
            )
        return cls(
            verdict=report.verdict,
            stage=report.stage,
            goal=report.goal,
            full_steps=report.cost.full_steps,
            spent_steps=report.cost.spent_steps,
            forecast=_last_forecast(report),
            early_forecast=None if early is None else _early_forecast(early),
            outcome=report.outcome,
            baseline=report.baseline,
            risk=risk,
            stopped_at=report.stopped_at,
            diagnoses=tuple(diagnosis.name for diagnosis in report.diagnoses[:MAX_DIAGNOSES]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for YAML: six significant digits, absent values left out."""
        goal = self.goal
        return _compact(
            {
                "version": METADATA_VERSION,
                "hf_ftrisk": self.hf_ftrisk,
                "stage": self.stage,
                "verdict": str(self.verdict),
                "goal": {
                    "metric": goal.metric,
                    "target": goal.target,
                    "greater_is_better": goal.greater_is_better,
                    "kind": None if goal.kind_inferred else goal.kind,
                },
                "baseline": self.baseline,
                "forecast": _forecast_dict(self.forecast),
                "early_forecast": _forecast_dict(self.early_forecast),
                "outcome": self.outcome,
                "risk": None
                if self.risk is None
                else {
                    "intrinsic_std": self.risk.intrinsic_std,
                    "regime": self.risk.regime,
                    "optimal_depth": self.risk.optimal_depth,
                },
                "steps": {"full": self.full_steps, "spent": self.spent_steps},
                "stopped_at": self.stopped_at,
                "diagnoses": list(self.diagnoses),
                "report": REPORT_FILE,
            }
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CardMetadata:
        """Metadata from `to_dict`'s form, as a card holds them.

        Raises:
            CardError: another version, or something that no release has written.
        """
        version = data.get("version")
        if version != METADATA_VERSION:
            raise CardError(
                f"the card's prediction has version {_shown(version)}, this release reads "
                f"{METADATA_VERSION}"
            )
        steps, stopped = _mapping(data, "steps"), _number(data, "stopped_at")
        risk = _mapping(data, "risk") if "risk" in data else None
        try:
            verdict = Verdict(str(data.get("verdict")))
        except ValueError:
            raise CardError(f"the card's verdict is {_shown(data.get('verdict'))}") from None
        return cls(
            verdict=verdict,
            stage=_text(data, "stage"),
            goal=_goal(_mapping(data, "goal")),
            full_steps=int(_required(steps, "full")),
            spent_steps=_required(steps, "spent"),
            forecast=_forecast(data, "forecast"),
            early_forecast=_forecast(data, "early_forecast"),
            outcome=_number(data, "outcome"),
            baseline=_number(data, "baseline"),
            risk=None if risk is None else _risk(risk),
            stopped_at=None if stopped is None else int(stopped),
            diagnoses=_diagnoses(data.get("diagnoses", [])),
            hf_ftrisk=_text(data, "hf_ftrisk") if "hf_ftrisk" in data else "",
        )

    @classmethod
    def from_card(cls, card: str | Path, *, revision: str | None = None) -> CardMetadata:
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
        CardError: there is none.
        HubError: the Hub cannot be used.
    """
    if isinstance(card, str) and "\n" in card:
        return card
    file = Path(card)
    if file.is_dir():
        file = file / CARD_FILE
    if file.is_file():
        return file.read_bytes().decode(errors="replace")
    if isinstance(card, Path) or card.count("/") != 1 or card.startswith((".", "/", "~")):
        raise CardError(f"no card at {card}: expected a file, a folder with one, or owner/name")
    from hf_ftrisk.hub_repo.repository import Repository

    repository = Repository(card, "model", revision=revision)
    content = repository.read(CARD_FILE, repository.head())
    if content is None:
        raise CardError(f"{card} on the Hub has no card")
    return content.decode(errors="replace")


def _last_forecast(report: RiskReport) -> CardForecast | None:
    forecast = report.forecast
    if forecast is None:
        return None
    low, high = forecast.interval(LEVEL)
    return CardForecast(forecast.point, low, high, LEVEL, forecast.step, report.prob_good)


def _early_forecast(look: Look) -> CardForecast:
    return CardForecast(look.mean, look.low, look.high, LEVEL, look.step, look.prob_good)


def _forecast_dict(forecast: CardForecast | None) -> dict[str, Any] | None:
    if forecast is None:
        return None
    names = ("mean", "low", "high", "level", "prob_good", "step")
    return {name: getattr(forecast, name) for name in names}


# --- reading what others wrote ---------------------------------------------------------------


def _shown(value: object) -> str:
    try:
        return printable(repr(value), _MAX_NAME)
    except ValueError:  # a number of more digits than Python writes
        return f"a very large {type(value).__name__}"


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise CardError(f"the card's {name} must be a mapping, got {_shown(value)}")
    return value


def _number(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return value
    raise CardError(f"the card's {name} must be a finite number, got {_shown(value)}")


def _required(data: Mapping[str, Any], name: str) -> float:
    value = _number(data, name)
    if value is None:
        raise CardError(f"the card's prediction lacks {name!r}")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise CardError(f"the card's {name} must be text, got {_shown(value)}")
    return printable(value, _MAX_NAME)


def _forecast(data: Mapping[str, Any], name: str) -> CardForecast | None:
    if data.get(name) is None:
        return None
    numbers = _mapping(data, name)
    values = {key: _required(numbers, key) for key in ("mean", "low", "high", "level")}
    return CardForecast(
        **values, step=int(_required(numbers, "step")), prob_good=_number(numbers, "prob_good")
    )


def _goal(data: Mapping[str, Any]) -> Goal:
    metric, direction = _text(data, "metric"), data.get("greater_is_better")
    if not (direction is None or isinstance(direction, bool)):
        raise CardError(f"the card's greater_is_better must be a bool, got {_shown(direction)}")
    target, kind = _number(data, "target"), data.get("kind")
    # Release 0.1 left out that a kind was asked for: values outside the usual range say so.
    for known_kind in (kind, "real"):
        try:
            return Goal(metric, target=target, greater_is_better=direction, kind=known_kind)
        except ValueError as error:
            refused = error
    raise CardError(f"the card's goal cannot be: {printable(refused)}")


def _risk(data: Mapping[str, Any]) -> CardRisk:
    return CardRisk(
        regime=_text(data, "regime"),
        intrinsic_std=_number(data, "intrinsic_std"),
        optimal_depth=_number(data, "optimal_depth"),
    )


def _diagnoses(names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CardError(f"the card's diagnoses must be a list of names, got {_shown(names)}")
    return tuple(diagnosis_name(printable(name, _MAX_NAME)) for name in names[:MAX_DIAGNOSES])


def _compact(data: Mapping[str, Any]) -> dict[str, Any]:
    """Six significant digits; not-a-number and infinities as nothing; absent values left out."""
    values = {name: _plain(value) for name, value in data.items()}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return _compact(value) if isinstance(value, dict) else value
