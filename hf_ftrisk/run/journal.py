"""What is kept of a program's trainings: where reports go, and what earlier processes found.

A program that is run in this process needs the first alone. The processes of a command share a
folder that lasts as long as the command: each writes there what became of it, the command reads
its exit status from all of them, and a process that a launcher starts anew finds what the one
before it had found.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.failopen import attempt, fault_of
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.findings import Stage
from hf_ftrisk.run.outcome import Outcome, TrainingReports

_OUTCOME, _TRAINING, _REPORT = "outcome-", "training-", "report-"


@dataclass(frozen=True)
class Earlier:
    """What was found of a training before its launcher started it anew.

    Args:
        refused: status with which it was refused, None if it was not.
        report: of its pre-flight, None if there was none.
    """

    refused: int | None = None
    report: RiskReport | None = None


class Journal:
    """Of a program that is run in this process.

    Args:
        report_dir: folder for the reports; None: none are written.
        command: starts the program anew; None: it cannot be.
    """

    def __init__(self, report_dir: Path | None = None, command: Sequence[str] = ()) -> None:
        self._report_dir = report_dir
        self._reports: dict[int, TrainingReports] = {}
        self.command = tuple(command)

    def report_folder(self, number: int) -> Path | None:
        """Where the reports of a program's training go: the folder itself for the first one.

        Args:
            number: counts the program's trainings from 1.
        """
        if self._report_dir is None or number == 1:
            return self._report_dir
        return self._report_dir / f"training-{number}"

    @property
    def reports(self) -> tuple[TrainingReports, ...]:
        """What was found of the program's trainings, in the order they began."""
        return tuple(self._reports[number] for number in sorted(self._reports))

    def earlier(self, number: int) -> Earlier:
        """What was found of a training before its launcher started it anew."""
        return Earlier()

    def keep_report(self, number: int, report: RiskReport) -> None:
        """Keep what was found of a training, before it or in it."""
        known = self._reports.get(number, TrainingReports(number))
        self._reports[number] = known.with_report(report)

    def keep_outcome(self, outcome: Outcome) -> None:
        """Keep what became of this process so far."""


class SharedJournal(Journal):
    """Of one of the processes that a command started.

    Args:
        folder: shared by all of them.
        report_dir: folder for the reports; None: none are written.
        environment: of this process.
    """

    def __init__(
        self, folder: Path, report_dir: Path | None, environment: Mapping[str, str]
    ) -> None:
        super().__init__(report_dir, [sys.executable, *sys.orig_argv[1:]])
        self._folder = folder
        # torchrun, and accelerate launch with several processes, count how often they began anew.
        self._restarted = environment.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        self._program = sha256("\0".join([os.getcwd(), *sys.orig_argv]).encode()).hexdigest()
        self._name = uuid.uuid4().hex
        self._places: dict[int, int] = {}

    def report_folder(self, number: int) -> Path | None:
        """Trainings are counted over all programs of the command."""
        return super().report_folder(self._place(number))

    def _place(self, number: int) -> int:
        place = self._places.get(number)
        if place is None:
            place = attempt(lambda: self._claim(number), lambda fault: None) or number
            self._places[number] = place
        return place

    def _claim(self, number: int) -> int:
        """The place of a training among all; that of its earlier beginning, if it had one."""
        mine = {"program": self._program, "number": number}
        place = 1
        while True:
            file = self._folder / f"{_TRAINING}{place}.json"
            with contextlib.suppress(FileExistsError), file.open("x") as claimed:
                json.dump(mine, claimed)
                return place
            if self._restarted and read_json(file) == mine:
                return place
            place += 1

    def earlier(self, number: int) -> Earlier:
        """What was found of a training before its launcher started it anew."""
        if not self._restarted:
            return Earlier()
        refusals = [
            outcome["refused"]
            for outcome in _contents(self._folder, _OUTCOME)
            if outcome["program"] == self._program and outcome["refused"] is not None
        ]
        file = _report_file(self._folder, self._place(number), "preflight")
        report = RiskReport.load(file) if file.is_file() else None
        return Earlier(refusals[0] if refusals else None, report)

    def keep_report(self, number: int, report: RiskReport) -> None:
        """Keep it for the command, and for a process that is started anew."""
        fault_of(report.save, _report_file(self._folder, self._place(number), report.stage))

    def keep_outcome(self, outcome: Outcome) -> None:
        """Keep what became of this process so far; a folder that is not there is no fault."""
        content = json.dumps({"program": self._program, **asdict(outcome)})
        # A forked process has its own.
        file = self._folder / f"{_OUTCOME}{self._name}-{os.getpid()}.json"
        if self._folder.is_dir():
            fault_of(write_atomically, file, content.encode())


def outcome_of_all(folder: Path) -> Outcome:
    """What became of all processes of a command."""
    return Outcome.of_all(
        Outcome(**{name: value for name, value in content.items() if name != "program"})
        for content in _contents(folder, _OUTCOME)
    )


def reports_of_all(folder: Path) -> tuple[TrainingReports, ...]:
    """What was found of the trainings of all processes of a command, where it can be read."""
    journal = Journal()

    def read(file: Path) -> None:
        journal.keep_report(int(file.stem.split("-")[1]), RiskReport.load(file))

    for file in folder.glob(f"{_REPORT}*.json"):
        fault_of(read, file)
    return journal.reports


def _report_file(folder: Path, place: int, stage: Stage) -> Path:
    return folder / f"{_REPORT}{place}-{stage}.json"


def _contents(folder: Path, begin: str) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob(f"{begin}*.json")):
        yield read_json(file)
