"""What is drawn: with characters on a terminal, and as a page."""

from __future__ import annotations

import json
import re

import pytest

from hf_ftrisk import RunRecord
from hf_ftrisk.cli.replay import Screen, run_replay
from hf_ftrisk.replay.batch import Replayer, ReplayOptions
from hf_ftrisk.replay.examples import NAMES, load_example
from hf_ftrisk.replay.screen import plot_text, sparkline


@pytest.fixture(scope="module")
def stopped():
    shown = load_example("stopped")
    return Replayer(ReplayOptions()).replay_record(shown.record, "stopped", goal=shown.goal)


def test_a_plot_is_as_wide_as_it_was_asked_to_be_and_names_its_lines(stopped):
    lines = plot_text(stopped, width=70, height=12).splitlines()
    assert max(map(len, lines)) == 70
    legend = lines[12:]
    assert [" ".join(line.split()[1:]) for line in legend] == [
        "eval_accuracy ⣀⡠ forecast of the outcome at each step, 90 %",
        f"trivial baseline 0.438 ⡇ stopped at {stopped.stopped_at}",
    ]


def test_the_axis_of_an_accuracy_does_not_go_below_0():
    shown = load_example("wrong")
    one = Replayer(ReplayOptions()).replay_record(shown.record, "wrong", goal=shown.goal)
    ticks = re.findall(r"^ *(-?[\d.]+)┤", plot_text(one), re.MULTILINE)
    assert float(ticks[-1]) == 0.0


def test_without_color_no_code_reaches_the_terminal(stopped):
    assert "\x1b" not in plot_text(stopped)
    assert "\x1b[" in plot_text(stopped, color=True)


def test_a_run_that_was_never_evaluated_has_no_plot():
    one = Replayer(ReplayOptions()).replay_record(
        RunRecord(max_steps=9, train_step=[1], train_loss=[1]), ""
    )
    assert plot_text(one) == ""


def test_a_sparkline_goes_from_the_first_value_to_the_last():
    run = RunRecord(max_steps=3, eval_step=[1, 2, 3], evals={"eval_f1": [0.1, 0.9, 0.5]})
    assert sparkline(run, "eval_f1") == "▁█▅"
    assert sparkline(run, "eval_loss") == ""


def test_the_plot_stands_above_the_words_on_a_terminal_alone():
    on = run_replay(None, example="sound", screen=Screen(80, color=False))
    off = run_replay(None, example="sound")
    assert "┤" in on
    assert on.endswith(off.partition("\n\n")[2])
    assert "┤" not in off


def page_of(tmp_path, **how):
    target = tmp_path / "out.html"
    run_replay(how.pop("place", None), html=target, **how)
    return target.read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r"^const RUNS = (.*);$", page, re.MULTILINE)[1])


def test_a_page_holds_all_it_needs(tmp_path):
    page = page_of(tmp_path, example="stopped")
    body = page[: page.index("<script>")] + page[page.rindex("<script>") :]
    assert not re.findall(r"""(?:src|href)\s*=|@import|url\(""", body)
    assert "Plotly.react" in body
    assert "plotly.js v" in page


def test_the_slider_tells_at_each_step_what_was_known_then(tmp_path, stopped):
    (run,) = data_of(page_of(tmp_path, example="stopped"))
    told = {look["step"]: look for look in run["looks"]}
    assert len(told) >= 20
    for look in stopped.looks:
        assert told[look.step]["median"] == look.median
        assert told[look.step]["low"] == look.low


def test_a_page_never_parts_a_number_from_its_percent_sign(tmp_path):
    (run,) = data_of(page_of(tmp_path, example="stopped"))
    told = [run["lead"], *(text for _, text in run["findings"])]
    assert any("\u00a0%" in text for text in told)
    assert not any(" %" in text for text in told)


def test_a_page_is_labeled_for_those_who_cannot_see_it(tmp_path):
    page = page_of(tmp_path, example="sound")
    assert '<html lang="en">' in page
    assert '<label for="slider">' in page
    assert 'id="figure" role="img"' in page
    assert 'aria-live="polite"' in page
    assert "prefers-color-scheme: dark" in page


def test_a_page_of_a_folder_has_poor_runs_first_and_a_strangers_name_as_text(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    for name in ("sound", "stopped"):
        state = load_example(name).state
        (runs / f"{name}.json").write_text(json.dumps(state))
    (runs / "a<script>alert(1)<.json").write_text(json.dumps(load_example("sound").state))
    page = page_of(tmp_path, place=runs)
    shown = data_of(page)
    assert [run["verdict"] for run in shown] == ["poor", "good", "good"]
    assert "<script>alert" not in page
    assert 'id="runs"' in page


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_small_and_is_what_its_words_say(name):
    shown = load_example(name)
    one = Replayer(ReplayOptions()).replay_record(shown.record, name, goal=shown.goal)
    assert len(json.dumps(shown.state)) < 15_000
    expected = {
        "sound": (True, False, set()),
        "stopped": (False, True, {"overfitting"}),
        "overfits": (True, False, {"overfitting"}),
        "stuck": (False, False, {"not_learning"}),
        "wrong": (True, True, set()),
    }
    good, was_stopped, diagnoses = expected[name]
    assert (one.good, one.stopped_at is not None) == (good, was_stopped)
    assert diagnoses <= {diagnosis.name for diagnosis in one.diagnoses}
    if name == "wrong":
        assert any(
            f"at step {look.step} the outcome was forecast as {look.low:.3f} to {look.high:.3f}"
            f" (90 %), and it was {one.outcome:.3f}" in shown.words
            for look in one.looks
        )
    if name == "overfits":
        assert one.keep.step < 0.2 * one.record.max_steps


def test_an_unknown_example_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="hf-ftrisk replay --example"):
        load_example("none")
