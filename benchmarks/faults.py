"""Faults survived: hostile input and killed processes, how often, and what was lost.

    python -m benchmarks.faults --seed 0 --seed 1 --write docs/evidence/faults.md

Each campaign draws its cases from the seed, and counts what came of them and what was lost: a run
that had been acknowledged, a line of somebody's card, a file that was not kept, a secret that got
out, an exception that is no clear refusal. The property tests named ``hostile`` hold the same with
fixed cases; ``make fuzz`` looks at others.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.errors import CardError, DamagedHistoryWarning, HistoryError
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.encoding import encode
from hf_ftrisk.history.parquet import index_of, read_parquet, to_parquet
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.hub_repo.card import Marks, merge
from hf_ftrisk.record import RunRecord
from hf_ftrisk.redaction import clean_text
from hf_ftrisk.report import Cost, Look, RiskReport
from hf_ftrisk.risk import fit_risk_curve
from hf_ftrisk.verdict import Diagnosis, Verdict

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"


@dataclass
class Outcome:
    """What came of one campaign.

    Args:
        cases: number of cases.
        became: what became of them -> how often.
        lost: what was lost, in words; empty when nothing was.
    """

    cases: int = 0
    became: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


Campaign = Callable[[random.Random, int], Outcome]


def run_of(seed: int) -> RunRecord:
    """A small completed run."""
    steps = np.arange(10, 101, 10)
    rng = np.random.default_rng(seed)
    return RunRecord(
        max_steps=100,
        train_step=steps,
        train_loss=rng.random(10),
        eval_step=steps,
        evals={"eval_accuracy": rng.random(10)},
        task="faults",
        seed=seed,
    )


def changed(content: bytes, rng: random.Random) -> bytes:
    """`content` with a piece written over, and sometimes cut."""
    at = rng.randrange(len(content))
    piece = rng.randbytes(rng.choice([1, 1, 1, 8, 300]))
    made = content[:at] + piece + content[at + len(piece) :]
    return made[: rng.randrange(len(made))] if rng.random() < 0.1 else made


# --- histories -------------------------------------------------------------------------------

_WRITER = """
import sys
from benchmarks.faults import run_of
from hf_ftrisk.history import RunHistory
history = RunHistory(sys.argv[1])
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 100_000):
    history.add(run_of(seed))
    print(seed, flush=True)
"""


def killed_writers(rng: random.Random, cases: int) -> Outcome:
    """Two writers at once, killed at a random moment; a run is acknowledged when `add` returns."""
    outcome = Outcome(cases)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        acknowledged: set[int] = set()
        for case in range(0, cases, 2):
            writers = [_started(_WRITER, path, 200_000 * (case + k)) for k in range(2)]
            first = [writer.stdout.readline() for writer in writers if writer.stdout]
            time.sleep(rng.uniform(0.0, 1.0))
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
            told = first + [line for writer in writers for line in writer.communicate()[0].split()]
            acknowledged |= {int(line) for line in told}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = {record.seed for record in RunHistory(path)}
    outcome.became["runs acknowledged and there"] = len(acknowledged & found)
    outcome.lost += [f"run {seed}" for seed in sorted(acknowledged - found)]
    return outcome


def _started(code: str, *arguments: Any, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def damaged_histories(rng: random.Random, cases: int) -> Outcome:
    """A history with bytes written over: read without the damaged runs, or kept and begun anew."""
    outcome = Outcome(cases)
    stored = {encode(record).fingerprint for record in map(run_of, range(6))}
    for _ in range(cases):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            path = Path(folder) / "runs.db"
            RunHistory(path).add_all(map(run_of, range(6)))
            content = changed(path.read_bytes(), rng)
            path.write_bytes(content)
            try:
                found = {encode(record).fingerprint for record in RunHistory(path)}
            except HistoryError:
                found = set()
            heard = any(issubclass(item.category, DamagedHistoryWarning) for item in told)
            kept = any(part.read_bytes() == content for part in Path(folder).glob("runs.db*"))
            if found == stored:
                outcome.became["read whole"] += 1
            elif found <= stored and (heard or kept):
                outcome.became["told; the rest read" if found else "told; the file kept"] += 1
            else:
                outcome.lost.append("a run that was changed, or gone without a word")
    return outcome


# --- files of strangers ----------------------------------------------------------------------


def changed_parquet(rng: random.Random, cases: int) -> Outcome:
    """A Parquet file with bytes changed, read in a process of its own, as strangers' files are."""
    outcome = Outcome(cases)
    good = to_parquet(encode(run_of(seed)) for seed in range(3))
    right = {encode(run_of(seed)).fingerprint for seed in range(3)}
    for _ in range(cases):
        content = changed(good, rng)
        status = _in_a_fork(lambda content=content: _parquet_status(content, right))  # type: ignore[misc]
        if status == 8:
            outcome.lost.append("a run was taken that nobody wrote")
        elif status == 9:
            outcome.lost.append("an exception that is no refusal")
        else:
            word = "its reader ended, told" if status < 0 else "refused" if status else "read"
            outcome.became[word] += 1
    return outcome


def _parquet_status(content: bytes, right: set[str]) -> int:
    try:
        found = {encode(record).fingerprint for record in read_parquet(content).records}
        index_of(content)
    except HistoryError:
        return 1
    return 0 if found <= right else 8


def _in_a_fork(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        status = 9
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


_VALUES: list[Any] = [
    *(None, True, 0, -1, 2**70, 0.5, 1e308, float("nan"), float("inf"), "", "x", "NaN"),
    *([], {}, [None], {"x": 1}, [[[]]]),
]


def _places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items: Any = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list):
        items = [(i, data[i]) for i in sorted({0, 1, len(data) - 1} & set(range(len(data))))]
    for name, item in items:
        yield from _places(item, (*path, name))


def _with(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(data)
    inside = made
    for name in path[:-1]:
        inside = inside[name]
    if path:
        inside[path[-1]] = value
    return made if path else value


def changed_states(rng: random.Random, cases: int) -> Outcome:
    """A trainer state with one to three values changed: a record, or a clear refusal."""
    outcome = Outcome(cases)
    log = [{"step": s, "epoch": s / 50, "loss": 1 / s, "eval_loss": 2 / s} for s in (10, 20, 30)]
    state = {"log_history": log, "max_steps": 30, "global_step": 30, "epoch": 0.6}
    for _ in range(cases):
        made: Any = state
        for _ in range(rng.randrange(1, 4)):
            made = _with(made, rng.choice(list(_places(made))), rng.choice(_VALUES))
        try:
            RunRecord.from_trainer_state(made if isinstance(made, dict) else {})
            outcome.became["read"] += 1
        except ValueError:
            outcome.became["refused"] += 1
        except Exception as error:  # noqa: BLE001 - what the campaign looks for
            outcome.lost.append(f"{type(error).__name__}: {error}")
    return outcome


def report_of() -> RiskReport:
    """A report with every part filled in."""
    depths = np.array([5.0, 10.0, 20.0, 40.0])
    return RiskReport(
        goal=Goal("eval_accuracy", target=0.85),
        verdict=Verdict.GO,
        reasons=("the forecast meets the goal",),
        cost=Cost(full_steps=100, spent_steps=12, spent_seconds=3.5, full_seconds=60.0),
        forecast=Forecast(np.linspace(0.8, 0.95, 50), step=40, source="test"),
        decomposition=fit_risk_curve(
            depths, 0.0004 + 0.02 / depths, counts=np.full(4, 30), horizon=100, tolerance=0.03
        ),
        diagnoses=(Diagnosis("x", "y", "z", evidence={"steps": 1.0}),),
        baseline=0.2,
        looks=(Look(10, 0.7, 0.4, 0.9, 0.3, 0.55), Look(40, 0.88, 0.8, 0.95, 0.7, 0.87)),
        probes=(run_of(0),),
        run=run_of(1),
        risk_curve=tuple((float(d), 0.1, 30.0) for d in depths),
        optimal_depth=22.0,
        outcome=0.9,
        signals={"rows": 100.0},
        settings={"seeds": [1, 2]},
        notes=("a note",),
    )


def changed_reports(rng: random.Random, cases: int) -> Outcome:
    """A report with one field changed: refused at loading, or nothing fails over it later."""
    outcome = Outcome(cases)
    data = report_of().to_dict()
    places = list(_places(data))
    for _ in range(cases):
        made = _with(data, rng.choice(places), rng.choice(_VALUES))
        try:
            report = RiskReport.from_dict(json.loads(json.dumps(made)))
        except (ValueError, AttributeError):
            outcome.became["refused at loading"] += 1
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report.to_markdown()
                build_parts(report, figure=False)
            outcome.became["read and used"] += 1
        except Exception as error:  # noqa: BLE001 - what the campaign looks for
            outcome.lost.append(f"{type(error).__name__}: {error}")
    return outcome


# --- cards and text --------------------------------------------------------------------------


def mixed_cards(rng: random.Random, cases: int) -> Outcome:
    """Cards with our marks and keys anywhere: published twice is once, and no line is lost."""
    outcome = Outcome(cases)
    marks = Marks("ftrisk")
    body = [marks.begin, marks.end, "```", "~~~", "", "a person's line", f"  {marks.begin}"]
    front = ["ftrisk: 1", "ftrisk:\n  a: 1", "tags: [a]", "tags:\n- b", "x: 1", "y: |\n  ftrisk: 1"]
    for _ in range(cases):
        pairs = rng.choices(front, k=rng.randrange(5))
        lines = rng.choices(body, k=rng.randrange(10))
        head = f"---\n{chr(10).join(pairs)}\n---\n" if pairs else ""
        card = (head + "\n".join(lines)).replace("\n", rng.choice(["\n", "\r\n"]))
        try:
            once = _published(card, "A")
        except CardError:
            outcome.became["refused, nothing changed"] += 1
            continue
        outside, at = 0, 0
        for start, end in [*marks.find(card), (len(card), len(card))]:
            outside += card[at:start].count("a person's line")
            at = end
        if once != _published(once, "A") or once != _published(_published(card, "B"), "A"):
            outcome.lost.append("published twice is not published once")
        elif once.count("a person's line") < outside:
            outcome.lost.append("a line of the card")
        else:
            outcome.became["published, twice as once"] += 1
    return outcome


def _published(card: str, section: str) -> str:
    return merge(card, key="ftrisk", value={"version": 1}, tag="ftrisk", section=section)


def hidden_secrets(rng: random.Random, cases: int) -> Outcome:
    """Secrets of many kinds, put together with anything, in text that leaves the machine."""
    outcome = Outcome(cases)
    mark = "zq7x9kw2"
    kinds = [
        *(f"hf_{mark}ABCDEFGHIJKLMN", f"ghp_{mark}abcdefghijklmn", f"WANDB_API_KEY={mark}"),
        *(f"sk-{mark}abcdefghijklmn", f"AKIA{mark.upper()}ABCD", f"Bearer {mark}.abcdef"),
        *(f"s3://{mark}/x", f"Error:/home/{mark}/x", f"/home/{mark}/my files/{mark} 1/x"),
        *(f"C:\\Users\\{mark}\\x", f"--token {mark}", f"{mark}@example.org", f"~/{mark}/x"),
        *(f"postgres://a:{mark}@b/c", f"git@github.com:a/{mark}.git", f"{mark}.corp"),
    ]
    joints = [" ", ", ", "; ", " (", ": ", "\n", " at "]
    for _ in range(cases):
        words = rng.choices([*kinds, "loss", "0.5", "in", "'", "a_b"], k=rng.randrange(1, 6))
        cleaned = clean_text("".join(word + rng.choice(joints) for word in words))
        if mark in cleaned.lower():
            outcome.lost.append(f"a secret: {cleaned}")
        elif clean_text(cleaned) != cleaned:
            outcome.lost.append("cleaning twice changes more")
        else:
            outcome.became["clean"] += 1
    return outcome


# --- signals ---------------------------------------------------------------------------------

_PREFLIGHT = """
import sys
from pathlib import Path
import torch
from hf_ftrisk import preflight
from tests.probing.models import bert_trainer
torch.set_num_threads(1)
trainer = bert_trainer(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    preflight(trainer, "eval_accuracy>=0.8", budget=0.5, signal_seconds=1, progress=False)
"""


def terminated_preflights(rng: random.Random, cases: int) -> Outcome:
    """SIGTERM at a random moment of a pre-flight: it ends by the signal and leaves no folder."""
    outcome = Outcome(cases)
    for _ in range(cases):
        with tempfile.TemporaryDirectory() as folder:
            process = _started(_PREFLIGHT, f"{folder}/out", TMPDIR=folder)
            assert process.stdout is not None
            while "ready" not in process.stdout.readline():
                assert process.poll() is None, "the pre-flight did not begin"
            time.sleep(rng.uniform(0.0, 5.0))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
            left = list(Path(folder).glob("hf_ftrisk_*"))
        if left or process.returncode != -signal.SIGTERM:
            outcome.lost.append(f"{len(left)} folders left, status {process.returncode}")
        else:
            outcome.became["ended by the signal, nothing left"] += 1
    return outcome


CAMPAIGNS: dict[str, tuple[Campaign, int]] = {
    "writers of a history killed": (killed_writers, 16),
    "histories with bytes written over": (damaged_histories, 150),
    "Parquet files with bytes changed": (changed_parquet, 300),
    "trainer states with values changed": (changed_states, 1000),
    "reports with a field changed": (changed_reports, 300),
    "cards with our marks and keys anywhere": (mixed_cards, 300),
    "texts with secrets": (hidden_secrets, 1000),
    "pre-flights terminated": (terminated_preflights, 4),
}


def table(seeds: list[int], share: float) -> tuple[list[str], int]:
    """Rows of the page, and how much was lost."""
    rows = [
        "| what was tried | seed | how often | what became of it | lost |",
        "|---|--:|--:|---|--:|",
    ]
    lost = 0
    for name, (campaign, cases) in CAMPAIGNS.items():
        for seed in seeds:
            outcome = campaign(random.Random(f"{name}{seed}"), max(2, round(cases * share)))
            became = ", ".join(f"{count:,} {word}" for word, count in outcome.became.most_common())
            rows.append(f"| {name} | {seed} | {outcome.cases:,} | {became} | {len(outcome.lost)} |")
            print(rows[-1], flush=True)
            for item in outcome.lost[:5]:
                print(f"  LOST {item}", file=sys.stderr)
            lost += len(outcome.lost)
    return rows, lost


def main() -> None:
    """Run every campaign with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seed", type=int, action="append", help="repeat for several; default 0, 1"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the number of cases")
    parser.add_argument("--write", type=Path, help="page to put the table into")
    given = parser.parse_args()
    rows, lost = table(given.seed or [0, 1], given.share)
    if given.write is not None:
        page = given.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        text = "\n".join([BEGIN, "", *rows, "", END])
        given.write.write_text(f"{before}{text}{after}", encoding="utf-8")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
