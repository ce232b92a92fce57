"""How far one evaluation walks through the callback, and one report through `publish`.

    python -m benchmarks.walks [--list]

Counts the functions of hf_ftrisk that are entered (`sys.setprofile`), each once however often it is
called, and the files they are in: what a reader of either trip has to open. The run is the tests'
tiny classifier, whose second evaluation is followed from the Trainer's call of the callback to its
return; its report is then published to the tests' local Hub.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import huggingface_hub.constants

import hf_ftrisk
from hf_ftrisk import FineTuneRiskCallback, RiskReport, publish
from tests.local_hub import WRITER, LocalHub
from tests.watch.tiny import bert_trainer

PACKAGE = Path(hf_ftrisk.__file__).parent


class Walk:
    """Functions of the package that were entered, on any thread.

    Attributes:
        entered: their code.
    """

    def __init__(self) -> None:
        self.entered: set[CodeType] = set()

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Everything that is called while this lasts."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        # Comprehensions and module bodies are nothing that a reader opens for themselves.
        inside = event == "call" and code.co_filename.startswith(str(PACKAGE))
        if inside and not code.co_name.startswith("<"):
            self.entered.add(code)

    @property
    def by_file(self) -> dict[str, list[str]]:
        """File, relative to the package -> names of the functions entered in it."""
        files: dict[str, list[str]] = {}
        for code in sorted(self.entered, key=lambda code: (code.co_filename, code.co_qualname)):
            file = str(Path(code.co_filename).relative_to(PACKAGE))
            files.setdefault(file, []).append(code.co_qualname)
        return files


class _Followed(FineTuneRiskCallback):
    """Its second evaluation is followed."""

    walk: Walk
    evaluations = 0

    def on_evaluate(self, *args: Any, **keywords: Any) -> None:
        self.evaluations += 1
        with self.walk.followed() if self.evaluations == 2 else contextlib.nullcontext():
            super().on_evaluate(*args, **keywords)


def one_evaluation() -> tuple[Walk, RiskReport]:
    """The walk of an evaluation, and the report of its run."""
    callback = _Followed("eval_accuracy>=0.9", history=None)
    callback.walk = Walk()
    with contextlib.redirect_stdout(io.StringIO()):
        bert_trainer(Path(tempfile.mkdtemp()), callbacks=[callback]).train()
    assert callback.report is not None
    return callback.walk, callback.report


def one_report(report: RiskReport) -> Walk:
    """The walk of a report through `publish`."""
    hub, walk = LocalHub(), Walk()
    huggingface_hub.constants.ENDPOINT = hub.url
    huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE = (
        hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    huggingface_hub.constants.HF_HUB_OFFLINE = False  # this hub is here
    hub.make("me/tiny", {"README.md": b"# Tiny\n"})
    with walk.followed():
        publish(report, "me/tiny", token=WRITER)
    hub.close()
    return walk


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name the functions of each file")
    options = parser.parse_args()
    evaluation, report = one_evaluation()
    for title, walk in {
        "one evaluation through the callback": evaluation,
        "one report through publish": one_report(report),
    }.items():
        print(f"{title}: {len(walk.entered)} functions in {len(walk.by_file)} files")
        for file, names in walk.by_file.items() if options.list else ():
            print(f"  {file} ({len(names)}): {', '.join(names)}")


if __name__ == "__main__":
    main()
