"""The section in every card a Trainer writes and pushes, without a further line of the user's."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hf_ftrisk.hub.files import CARD_FILE, CardParts, build_parts

if TYPE_CHECKING:
    from transformers import Trainer

    from hf_ftrisk.report import RiskReport

_log = logging.getLogger(__name__)


class HasReport(Protocol):
    """Anything with a report, such as the callback."""

    @property
    def report(self) -> RiskReport:
        """The report as of now."""


def attach_card(trainer: Trainer, report_or_callback: RiskReport | HasReport) -> None:
    """Put the report into every card that `trainer` writes from now on.

    Args:
        trainer: any transformers or TRL Trainer.
        report_or_callback: a report, or an object whose ``report`` is asked for each time a card
            is written, so that the card holds the newest state.
    """
    original = trainer.create_model_card

    @functools.wraps(original)
    def create_model_card(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        if trainer.is_world_process_zero():
            _write(Path(str(trainer.args.output_dir)), report_or_callback)

    trainer.create_model_card = create_model_card  # type: ignore[method-assign]


def _write(folder: Path, source: RiskReport | HasReport) -> None:
    parts = build_parts(_report(source))
    path = folder / CARD_FILE
    card = path.read_bytes().decode() if path.exists() else None
    path.write_bytes(parts.merged_into(card, title=folder.name).encode())
    _write_files(folder, parts)


def _write_files(folder: Path, parts: CardParts) -> None:
    for name, content in parts.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _report(source: RiskReport | HasReport) -> RiskReport:
    from hf_ftrisk.report import RiskReport

    return source if isinstance(source, RiskReport) else source.report
