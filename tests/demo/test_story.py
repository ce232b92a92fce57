"""The whole demo, on fewer steps."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from rich.console import Console

from hf_ftrisk import RiskReport
from hf_ftrisk.cli.demo import demo_output
from hf_ftrisk.demo import text
from hf_ftrisk.demo.story import SettingResult, result_table, run_demo
from hf_ftrisk.goal import Goal
from tests.cli.test_json import valid

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[SettingResult], Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "MAX_STEPS", 60)
        patch.setattr(text, "EVAL_EVERY", 6)
        patch.setattr(text, "EVAL_ROWS", 50)
        patch.setattr(text, "MAX_TOKENS", 16)
        results = run_demo("text", folder, Console(file=shown, width=200))
    return results, folder, shown.getvalue()


def test_every_setting_leaves_report_card_and_figure(told) -> None:
    results, folder, _ = told
    places = [folder, folder / "too-small", folder / "shuffled"]
    for result, place in zip(results, places, strict=True):
        report = RiskReport.load(place / "report.json")
        assert report.looks == result.watched.looks
        assert report.outcome == result.watched.outcome
        assert report.verdict == result.watched.verdict
        card = ModelCard.load(place / "README.md")
        metadata = card.data.to_dict()["ftrisk"]
        assert metadata["goal"]["metric"] == "eval_accuracy"
        assert "ftrisk" in card.data.tags
        with Image.open(place / "report.png") as figure:
            assert np.asarray(figure.convert("L")).std() > 5


def test_the_truth_is_the_run_s_own_last_evaluation(told) -> None:
    results, *_ = told
    sound = results[0].watched
    assert sound.run is not None
    assert sound.outcome == sound.run.evals["eval_accuracy"][-1]
    assert all(result.watched.outcome is not None for result in results)


def test_the_doomed_settings_are_stopped_and_the_sound_one_is_not(told) -> None:
    results, *_ = told
    assert results[0].watched.stopped_at is None
    for result in results[1:]:
        report = result.watched
        assert report.stopped_at is not None
        assert report.outcome is not None
        assert not report.goal.meets(report.outcome)
        assert report.cost.saved_steps == 60 - report.stopped_at


def test_probes_stay_within_the_budget(told) -> None:
    results, *_ = told
    assert all(result.before.cost.spent_share <= 0.1 for result in results)


def test_the_table_names_each_setting(told) -> None:
    results, _, shown = told
    table = shown[shown.index("Forecast and outcome") :]
    assert all(result.setting.name in table for result in results)


def test_no_path_of_this_machine_is_in_a_card(told) -> None:
    _, folder, _ = told
    for card in folder.rglob("README.md"):
        assert str(folder) not in card.read_text(encoding="utf-8")


def test_the_report_json_holds_no_text_of_the_data(told) -> None:
    _, folder, _ = told
    articles = text.bbc_news().train
    content = json.dumps(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    assert not any(article[:60] in content for article, _ in articles[:200])


def test_as_json_it_is_what_its_schema_says(told) -> None:
    results, folder, _ = told
    data = valid("demo", json.dumps(demo_output("text", folder, results), allow_nan=False))
    for setting, result in zip(data["settings"], results, strict=True):
        watched = result.watched
        assert setting["name"] == result.setting.name
        assert setting["outcome"] == watched.outcome
        assert setting["good"] == (watched.outcome >= 0.85)
        assert setting["stopped_at"] == watched.stopped_at


def test_the_summary_fits_eighty_columns(told) -> None:
    results, *_ = told
    for goal in (Goal("eval_accuracy", target=0.85), Goal("eval_loss", target=3.5)):
        shown = io.StringIO()
        Console(file=shown, width=80).print(result_table(results, goal))
        lines = shown.getvalue().rstrip("\n").split("\n")
        assert len(lines) == 1 + len(results)  # nothing is wrapped
        assert all(len(line.rstrip()) <= 80 for line in lines)
        assert not any("…" in line for line in lines)
