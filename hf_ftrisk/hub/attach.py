"""The section in every card a Trainer writes and pushes, without a further line of the user's.

Trainers write their card anew before each push. The instance's ``create_model_card`` is wrapped:
the original runs as ever, then a person's edits to the card it replaced are made again, and the
section is put in. No fault of ours reaches the push: the Trainer's own card is left as it is.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hf_ftrisk.hub.files import CARD_FILE, CardParts, build_parts
from hf_ftrisk.remote.cardtext import CardError, metadata, with_front
from hf_ftrisk.remote.edits import add_tags, card_tags, keep_edits
from hf_ftrisk.remote.files import write_atomically

if TYPE_CHECKING:
    from transformers import Trainer

    from hf_ftrisk.report import RiskReport

_log = logging.getLogger(__name__)
T = TypeVar("T")

# Trainer's pushes leave out what begins with an underscore.
_OWN_FOLDER = "_ftrisk"
_BASE_FILE = "generated_card.md"
_REPLACED_FILE = "replaced_card.md"


class HasReport(Protocol):
    """Anything with a report, such as the callback."""

    @property
    def report(self) -> RiskReport | None:
        """The report as of now; None while there is none."""


def attach_card(trainer: Trainer, report_or_callback: RiskReport | HasReport) -> None:
    """Put the report into every card that `trainer` writes from now on.

    A second call replaces the report of the first. Only the main process writes. What a person
    changed in the card between two writes stays; a hand-written card that is there before the
    first one stays as well. Beside the card, ``ftrisk/report.json`` and the figure are written,
    and pushed with the rest.

    Args:
        trainer: any transformers or TRL Trainer.
        report_or_callback: a report, or an object whose ``report`` is asked for each time a card
            is written, so that the card holds the newest state.

    Raises:
        TypeError: a trainer that writes no card of its own, or something without a report.
    """
    from hf_ftrisk.report import RiskReport

    if not isinstance(report_or_callback, RiskReport):
        try:
            # The class is asked: a callback's report may be costly to make.
            type(report_or_callback).report  # noqa: B018
        except AttributeError:
            raise TypeError(
                "attach_card takes a RiskReport, or an object with a `report` such as "
                f"FineTuneRiskCallback, got {type(report_or_callback).__name__}"
            ) from None
    try:
        original = trainer.create_model_card
    except AttributeError:
        raise TypeError(
            f"{type(trainer).__name__} writes no model card (it has no create_model_card); "
            "use publish(report, repo_id) after the push"
        ) from None
    if isinstance(original, _CardWriter):
        original.source = report_or_callback
        return
    writer = _CardWriter(trainer, original, report_or_callback)
    trainer.create_model_card = writer  # type: ignore[method-assign]  # of this instance


class _CardWriter:
    """A Trainer's ``create_model_card`` with the section after it.

    Args:
        trainer: whose card it is.
        original: its own ``create_model_card``.
        source: where the report comes from.
    """

    def __init__(
        self, trainer: Trainer, original: Callable[..., Any], source: RiskReport | HasReport
    ) -> None:
        functools.update_wrapper(self, original)
        self.source = source
        self._trainer = trainer
        self._original = original
        self._rendered: tuple[RiskReport, CardParts] | None = None
        # PEFT rewrites the tags when it saves, before anybody is asked: they are noted here.
        self._tags = self._guarded(lambda: card_tags(_read(self._folder / CARD_FILE) or "")) or []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._trainer.is_world_process_zero():
            return self._original(*args, **kwargs)
        old = self._guarded(lambda: _read(self._folder / CARD_FILE))
        result = self._original(*args, **kwargs)
        self._guarded(lambda: self._finish(old))
        return result

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; a fault in it is logged and costs the section, never the push."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - no fault of ours may end a user's push
            _log.warning("[ftrisk] the card goes without the risk section: %s", error)
            _log.debug("[ftrisk] fault in the card", exc_info=error)
            return None

    @property
    def _folder(self) -> Path:
        return Path(str(self._trainer.args.output_dir))

    def _finish(self, old: str | None) -> None:
        """Edits and section into the card that the original has just written."""
        folder = self._folder
        generated = _read(folder / CARD_FILE)
        if generated is None:
            # A Trainer whose create_model_card writes elsewhere: there is no card to change.
            return
        card = generated if old is None else self._with_edits(old, generated)
        report = self._report()
        if report is not None:
            parts = self._parts(report)
            card = parts.merged_into(card, title=folder.name)
            for name, content in parts.files.items():
                write_atomically(folder / name, content)
        write_atomically(folder / CARD_FILE, card.encode())
        write_atomically(folder / _OWN_FOLDER / _BASE_FILE, generated.encode())
        self._tags = card_tags(card)

    def _with_edits(self, old: str, generated: str) -> str:
        own = self._folder / _OWN_FOLDER
        base = _read(own / _BASE_FILE)
        try:
            card = add_tags(keep_edits(old, generated, base), self._tags)
        except CardError as error:
            _log.warning("[ftrisk] the former card could not be read: %s", error)
            card = generated
        if base is None and card != old:
            # What was an edit cannot be known: the former card is kept beside the new one.
            write_atomically(own / _REPLACED_FILE, old.encode())
        if self._trainer.args.push_to_hub and not _accepted(card, generated):
            _log.warning(
                "[ftrisk] the Hub refuses the metadata a person wrote in %s; they are left out, "
                "and kept in %s",
                CARD_FILE,
                own / _REPLACED_FILE,
            )
            write_atomically(own / _REPLACED_FILE, old.encode())
            card = with_front(card, generated)
        return card

    def _report(self) -> RiskReport | None:
        from hf_ftrisk.report import RiskReport

        return self.source if isinstance(self.source, RiskReport) else self.source.report

    def _parts(self, report: RiskReport) -> CardParts:
        """The report rendered, once for the same report: some Trainers write cards often."""
        if self._rendered is None or self._rendered[0] is not report:
            self._rendered = (report, build_parts(report))
        return self._rendered[1]


def _accepted(card: str, generated: str) -> bool:
    """Whether the Hub takes a card's metadata; asked only when a person's are in it.

    A card the Hub refuses makes the whole push fail. Where it cannot be asked, the push will say.
    """
    found = metadata(card)
    if found == metadata(generated):
        return True
    from huggingface_hub import ModelCard

    from hf_ftrisk.remote.errors import REQUEST_ERRORS

    try:
        ModelCard(card, ignore_metadata_errors=True).validate()
    except ValueError:
        return False
    except REQUEST_ERRORS:
        return True
    return True


def _read(path: Path) -> str | None:
    return path.read_bytes().decode() if path.is_file() else None
