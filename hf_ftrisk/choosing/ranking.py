"""`Ranking`: the entries with their files, words and figure. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.choosing.entries import Entry, Ranked
from hf_ftrisk.choosing.figure import write_ranking
from hf_ftrisk.choosing.wording import lines, markdown
from hf_ftrisk.errors import CardError
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub_repo.card import Marks, line_ending, parts, set_section
from hf_ftrisk.jsonfile import check_format, read_json
from hf_ftrisk.report import Look

_FORMAT_VERSION = 1
# Around the section of a card.
_MARKS = Marks("ftrisk-ranking")


class Ranking(Ranked):
    """Candidates in the order in which they should be chosen; what they were told from.

    Examples:
        >>> ranking = rank({"lr=2e-5": make_a, "lr=1e-4": make_b}, goal="eval_accuracy")
        >>> trainer = candidates[ranking.best.name]()
        >>> trainer.train(resume_from_checkpoint=ranking.best.checkpoint)
    """

    # --- files ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "format_version": _FORMAT_VERSION,
            "goal": asdict(self.goal),
            "budget": self.budget,
            "spent": self.spent,
            "unit": self.unit,
            "notes": list(self.notes),
            "entries": [_entry_dict(entry) for entry in self.entries],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ranking:
        """Ranking from `to_dict`'s form.

        Raises:
            ValueError: another format version.
        """
        check_format("ranking", data.get("format_version"), _FORMAT_VERSION)
        return cls(
            goal=Goal(**data["goal"]),
            entries=tuple(_entry(entry) for entry in data["entries"]),
            budget=float(data["budget"]),
            spent=float(data["spent"]),
            unit=str(data["unit"]),
            notes=tuple(data["notes"]),
        )

    def save(self, path: str | Path) -> None:
        """Write JSON."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_atomically(Path(path), f"{text}\n".encode())

    @classmethod
    def load(cls, path: str | Path) -> Ranking:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no ranking.
        """
        data = read_json(Path(path))
        if not isinstance(data, dict) or "entries" not in data:
            raise ValueError(f"{path} holds no ranking: expected an object with 'entries'")
        try:
            return cls.from_dict(data)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{path} holds no ranking: {error}") from error

    # --- words ------------------------------------------------------------------------------------

    def to_markdown(self) -> str:
        """A section with the table, for a report or a model card."""
        return markdown(self)

    def write_card(self, path: str | Path) -> None:
        """Put the section into a model card's file; every other byte of it stays as it was.

        A section that was put there before is replaced where it stands.

        Args:
            path: the card, such as ``out/README.md``; made where there is none.

        Raises:
            CardError: the file is no text in UTF-8, or the section cannot be put into it.
        """
        card = Path(path)
        try:
            old = card.read_bytes().decode("utf-8") if card.exists() else ""
        except UnicodeDecodeError as error:
            raise CardError(
                f"{card} is no text in UTF-8 (byte {error.start}); it was left as it is: save it "
                "in UTF-8, or give another file"
            ) from error
        cut = parts(old)
        body = set_section(cut.body, self.to_markdown(), _MARKS, line_ending(old))
        write_atomically(card, "".join((*cut[:-1], body)).encode())

    def plot(self, path: str | Path) -> Path:
        """Write the figure: the candidates' forecasts over the depth they were seen to.

        Raises:
            MissingExtraError: matplotlib is not installed (``pip install "hf-ftrisk[plots]"``).
        """
        return write_ranking(self, path)

    def __str__(self) -> str:
        return "\n".join(lines(self))


def _entry_dict(entry: Entry) -> dict[str, Any]:
    fields = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    fields["forecast"] = None if entry.forecast is None else entry.forecast.to_dict()
    fields["looks"] = [asdict(look) for look in entry.looks]
    return fields


def _entry(data: Mapping[str, Any]) -> Entry:
    fields = dict(data)
    if fields["forecast"] is not None:
        fields["forecast"] = Forecast.from_dict(fields["forecast"])
    fields["looks"] = tuple(Look(**look) for look in fields["looks"])
    return Entry(**fields)
