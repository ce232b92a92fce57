"""README is short, and its table is that of the evidence page."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from benchmarks.figures.tables import rows_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_the_readme_has_120_lines_at_most():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_site_s_first_page_says_of_the_run_what_readme_says():
    alts = [
        re.search(r"!\[(A run on [^\]]+)\]", page.read_text(encoding="utf-8"))[1].split()
        for page in (README, ROOT / "docs" / "index.md")
    ]
    assert alts[0] == alts[1]


def test_the_table_has_every_row_of_the_evidence_page_in_its_order():
    shown = rows_of(README, "forecast")
    page = rows_of(ROOT / "docs" / "evidence" / "forecasting.md", "forecast")
    assert [row[:2] for row in shown] == [row[:2] for row in page]
    depths = [cell.split(" / ")[1:5] for cell in (row[2] for row in page)]
    assert [row[2].split(" / ") for row in shown] == depths, "python -m benchmarks.figures"


def held_out(metric: str, judged: str, table: str = "all sources") -> list[str]:
    """Row of the stopping page at 5 %: sources, good, kept, poor, stopped, by 20 %, saved."""
    page = ROOT / "docs" / "evidence" / "tables" / "held-out.csv"
    with page.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return next(row[4:] for row in rows if row[:4] == [table, metric, judged, "0.05"])


def percent(cell: str) -> str:
    return f"{float(cell.split('%')[0]):.0f}"


def test_what_stopping_without_a_history_did_is_what_its_page_says():
    goals = [
        held_out(metric, judged)
        for metric in ("scores", "losses")
        for judged in ("trivial baseline", "target, by 0")
    ]
    kept = sorted(float(row[2].rstrip("%")) for row in goals)
    score, loss = held_out("scores", "trivial baseline"), held_out("losses", "trivial baseline")
    said = (
        f"it kept {kept[0]:.0f} to {kept[-1]:.0f} % of the good runs and stopped "
        f"{percent(score[4])} % (scores) and {percent(loss[4])} % (losses) of those that did not "
        "beat a trivial predictor"
    )
    assert said in " ".join(README.read_text(encoding="utf-8").split())


def test_how_many_recordings_were_stopped_is_what_its_page_says():
    page = (ROOT / "docs" / "evidence" / "policy.md").read_text(encoding="utf-8")
    counts = re.search(
        r"^(\d+) of (\d+) good runs and (\d+) of (\d+) poor ones were stopped by their forecasts "
        r"alone; of those whose signals are known, with them, (\d+) of (\d+) good runs and "
        r"(\d+) of (\d+) poor ones",
        page,
        re.M,
    ).groups()
    good, of_good, poor, of_poor, known_good, of_known_good, known_poor, of_known_poor = counts
    said = (
        f"Of {int(of_good) + int(of_poor)} recordings of real length {poor} of the {of_poor} poor "
        f"ones were stopped, and {good} of the {of_good} good ones, at an allowed rate of 5 %; "
        f"with what a pre-flight measures of the untrained model {known_poor} of {of_known_poor} "
        f"and {known_good} of {of_known_good}"
    )
    assert said in " ".join(README.read_text(encoding="utf-8").split())


def test_what_was_saved_is_what_its_page_says():
    evidence = ROOT / "docs" / "evidence"
    page = (evidence / "savings.md").read_text(encoding="utf-8")
    lines = {
        name: re.search(rf"{name}: (\d+) % of good runs kept, (\d+) % of", page).groups()
        for name in ("pre-flight and callback", "callback, no history")
    }
    (both, alone) = lines.values()
    runs = re.search(r"^(\d+) full runs", (evidence / "preflight.md").read_text(), re.M)[1]
    said = (
        f"On {runs} long recordings of data sets held out, pre-flight and callback together kept "
        f"{both[0]} % of the good runs and gave back {both[1]} % of the compute of poor ones; the "
        f"callback alone kept {alone[0]} % and gave back {alone[1]} %"
    )
    assert said in " ".join(README.read_text(encoding="utf-8").split())


def test_the_page_of_evidence_quotes_the_worst_of_its_pages():
    evidence = ROOT / "docs" / "evidence"
    index = (evidence / "index.md").read_text(encoding="utf-8")
    worst = rows_of(evidence / "forecasting.md", "forecast")[0]
    assert worst[0] == "own recordings of other tasks, scores"
    assert f"up to {max(worst[2].split(' / '))} times the error" in index
    at_five = rows_of(evidence / "preflight.md", "decisions")
    wrong, goes = next(row[5] for row in at_five if row[0] == "5 %").split(" ")[0].split("/")
    assert f"{wrong} of {goes} GOs ended poor" in index
