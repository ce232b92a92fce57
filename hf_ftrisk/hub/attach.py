"""The section in every card a Trainer writes and pushes, without a further line of the user's.

Trainers write their card anew before each push, some also when they save the model. The instance's
``create_model_card`` and ``save_model`` are wrapped: the original runs as ever, then a person's
edits to the card it replaced are made again, and the section is put in. No fault of ours reaches
the push: the Trainer's own card is left as it is.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.errors import CardError
from hf_ftrisk.failopen import attempt
from hf_ftrisk.hub.metadata import CARD_FILE
from hf_ftrisk.hub.parts import CardParts, build_parts
from hf_ftrisk.hub_repo.card import metadata, with_front
from hf_ftrisk.hub_repo.edits import holds, keep_edits

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
    if isinstance(original, _Wrapped):
        original.keeper.source = report_or_callback
        return
    keeper = _Keeper(trainer, report_or_callback)
    # Of this instance only.
    trainer.create_model_card = _Wrapped(keeper, original)  # type: ignore[method-assign]
    trainer.save_model = _Wrapped(keeper, trainer.save_model)  # type: ignore[method-assign]


class _Wrapped:
    """A method of a Trainer after which the keeper looks at the card.

    Args:
        keeper: whose card it is.
        original: the Trainer's own method.
    """

    def __init__(self, keeper: _Keeper, original: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self.keeper = keeper
        self._original = original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.keeper.keeping(in_place=self._original.__name__ == "save_model"):
            return self._original(*args, **kwargs)


class _Keeper:
    """A Trainer's card, read before it is rewritten and put right afterwards.

    Args:
        trainer: whose card it is.
        source: where the report comes from.
    """

    def __init__(self, trainer: Trainer, source: RiskReport | HasReport) -> None:
        self.source = source
        self._trainer = trainer
        self._rendered: tuple[RiskReport, CardParts] | None = None
        # The card as it was before the outermost of nested calls (a save may push, which saves).
        self._before: str | None = None
        self._last: str | None = None

    @contextmanager
    def keeping(self, *, in_place: bool) -> Iterator[None]:
        """While it lasts, the card may be rewritten.

        Args:
            in_place: the card may also be changed where it stands, and need not be touched.
        """
        if not self._trainer.is_world_process_zero():
            yield
            return
        if self._before is None:
            self._before = self._guarded(lambda: _read(self._folder / CARD_FILE))
        old = self._before
        try:
            yield
            if not in_place or self._guarded(lambda: self._changed(old)):
                self._guarded(lambda: self._finish(old, in_place))
        finally:
            self._before = None

    def _changed(self, old: str | None) -> bool:
        """Whether the card was rewritten, and not by a nested call that has put it right."""
        return _read(self._folder / CARD_FILE) not in (old, self._last)

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; a fault in it is logged and costs the section, never the push."""
        return attempt(work, _log_fault)

    @property
    def _folder(self) -> Path:
        return Path(str(self._trainer.args.output_dir))

    def _finish(self, old: str | None, in_place: bool) -> None:
        """Edits and section into the card that the Trainer has just written."""
        folder = self._folder
        pushed = _read(folder / CARD_FILE)
        if pushed is None:
            # A Trainer whose create_model_card writes elsewhere: there is no card to change.
            return
        updated = old is not None and in_place and holds(pushed, old)
        card = pushed if old is None else self._with_edits(old, pushed, updated)
        report = self._report()
        if report is not None:
            parts = self._parts(report)
            card = parts.merged_into(card, title=folder.name)
            for name, content in parts.files.items():
                write_atomically(folder / name, content)
        write_atomically(folder / CARD_FILE, card.encode())
        if not updated:
            write_atomically(folder / _OWN_FOLDER / _BASE_FILE, pushed.encode())
        self._last = card

    def _with_edits(self, old: str, generated: str, updated: bool) -> str:
        own = self._folder / _OWN_FOLDER
        base = old if updated else _read(own / _BASE_FILE)
        try:
            card = keep_edits(old, generated, base)
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
    front = metadata(card)
    if front == metadata(generated):
        return True
    from huggingface_hub import ModelCard

    from hf_ftrisk.hub_repo.problems import REQUEST_ERRORS

    try:
        ModelCard(card, ignore_metadata_errors=True).validate()
    except ValueError:
        return False
    except REQUEST_ERRORS:
        return True
    return True


def _read(path: Path) -> str | None:
    return path.read_bytes().decode() if path.is_file() else None


def _log_fault(error: Exception) -> None:
    from hf_ftrisk.hub_repo.problems import blot

    reason = f"{type(error).__name__}: {blot(str(error))}"
    _log.warning("[ftrisk] the card goes without the risk section: %s", reason)
    # The lines alone: a traceback would repeat the message, with what was blotted out.
    _log.debug("[ftrisk] %s", "".join(traceback.format_tb(error.__traceback__)))
