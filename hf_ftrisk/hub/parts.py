"""The files that go to a model repository: card, report, figure."""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_ftrisk.hub.clean import clean_report
from hf_ftrisk.hub.metadata import KEY, REPORT_FILE, TAG, CardMetadata
from hf_ftrisk.hub.section import FIGURE_FILE, render_section
from hf_ftrisk.hub_repo.card import merge
from hf_ftrisk.hub_repo.rendering import render

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CardParts:
    """A report, cleaned and rendered, ready to be merged into any card.

    Args:
        section: Markdown of the section.
        metadata: value of the key ``ftrisk``.
        files: path in the repository -> bytes, the card left out.
    """

    section: str
    metadata: dict[str, Any]
    files: dict[str, bytes]

    def merged_into(self, card: str | None, *, title: str) -> str:
        """The card with section, metadata and tag; a full card named `title` where there is none.

        Raises:
            CardError: a card whose front matter cannot be changed safely.
        """
        if card is None:
            card = render("model_card.md.jinja", {"title": title})
        return merge(card, key=KEY, value=self.metadata, tag=TAG, section=self.section)


def build_parts(report: RiskReport, *, figure: bool = True) -> CardParts:
    """Clean `report` and render everything that is made from it.

    Args:
        report: as computed; only its cleaned form is used.
        figure: draw the figure too, where matplotlib is installed.
    """
    clean = clean_report(report)
    files = {REPORT_FILE: _json(clean)}
    picture = _draw(clean) if figure else None
    if picture is not None:
        files[FIGURE_FILE] = picture
    section = render_section(clean, figure=picture is not None)
    return CardParts(section, CardMetadata.from_report(clean).to_dict(), files)


def _json(report: RiskReport) -> bytes:
    text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _draw(report: RiskReport) -> bytes | None:
    if find_spec("matplotlib") is None or find_spec("hf_ftrisk.report.plots") is None:
        _log.info("the figure is left out: it needs hf-ftrisk[plots]")
        return None
    from hf_ftrisk.report.plots import plot_report

    with tempfile.TemporaryDirectory() as folder:
        return plot_report(report, Path(folder) / "report.png").read_bytes()
