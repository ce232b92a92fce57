"""The section and the metadata: what a reader and a program find in a card."""

import dataclasses
import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub import CardMetadata, clean_report, render_section, section
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.hub_repo.frontmatter import to_yaml
from hf_ftrisk.record.settings import SETTINGS
from hf_ftrisk.report import Look
from hf_ftrisk.verdict import Diagnosis, Verdict


def test_the_prediction_stands_in_words_before_any_table(report):
    section = render_section(report)
    lead = section.split("\n\n")[1]
    low, high = report.forecast.interval(0.9)
    assert lead == (
        f"After 120 of 1,000 steps a final eval_accuracy of {report.forecast.mean:.3f} was "
        f"predicted, with 90 % probability between {low:.3f} and {high:.3f}. This is a prediction "
        "made by hf-ftrisk before the run, from short probes of it, not an evaluation result."
    )
    assert "| Outcome |" not in section


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (0.871, "0.871, inside the interval predicted after 120 steps; goal met"),
        (0.841, "0.841, inside the interval predicted after 120 steps; goal not met"),
        (0.95, "0.950, outside the interval predicted after 120 steps; goal met"),
    ],
)
def test_the_outcome_stands_next_to_the_prediction(make_report, outcome, words):
    section = render_section(make_report(outcome=outcome))
    assert f"In the end it was {words}." in section
    assert f"| Outcome | {words} |" in section
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    labels = [row.split(" | ")[0] for row in rows]
    assert labels.index("| Outcome") - labels.index("| Forecast") <= 2


def metadata_of(report):
    return CardMetadata.from_report(report).to_dict()


def watched(make_report, **fields):
    """A watched run's report at its end: its last forecast has seen nearly everything."""
    samples = np.random.default_rng(1).normal(0.88, 0.002, 500)
    looks = (Look(40, 0.8, 0.6, 0.9), Look(100, 0.82, 0.7, 0.86, 0.2), Look(980, 0.88, 0.87, 0.89))
    forecast = Forecast(samples, step=980)
    return make_report(stage="watch", forecast=forecast, looks=looks, **fields)


def test_the_outcome_is_held_against_an_early_forecast_not_only_the_last(make_report):
    section = render_section(watched(make_report, outcome=0.8801))
    assert section.split("\n\n")[1] == (
        "After 100 of 1,000 steps a final eval_accuracy of 0.820 was predicted, with 90 % "
        "probability between 0.700 and 0.860. In the end it was 0.880, outside the interval "
        "predicted after 100 steps, inside the interval predicted after 980 steps; goal met. This "
        "is a prediction made by hf-ftrisk while the run went on, not an evaluation result."
    )
    early = "0.820 after 100 of 1,000 steps (90 % interval 0.700 to 0.860)"
    assert f"| Early forecast | {early} |" in section
    assert "| Forecast | 0.880 after 980 of 1,000 steps (" in section
    data = metadata_of(watched(make_report))
    assert data["early_forecast"]["step"] == 100
    assert data["forecast"]["step"] == 980
    assert "early_forecast" not in metadata_of(make_report())


def test_what_is_not_identified_is_not_given_as_a_number(make_report, decomposition):
    unsure = dataclasses.replace(
        decomposition, identified={**decomposition.identified, "intrinsic": False}
    )
    report = make_report(decomposition=unsure)
    assert "| Irreducible spread | unidentified" in render_section(report)
    assert "intrinsic_std" not in metadata_of(report)["risk"]
    assert "intrinsic_std" in metadata_of(make_report())["risk"]


def test_every_part_the_card_promises_is_there(make_report):
    section = render_section(make_report(stopped_at=120, stage="watch"), figure=True)
    for words in (
        "## Fine-tuning risk: predicted to end well (GO)",
        "| Regime | ",
        "| Best probing depth | 140 steps (14 % of the run) |",
        "| Spent | 120 of 1,000 steps (12 %), 33 s |",
        "| Check first | too few steps: Half an epoch only. |",
        "- too few steps (warning): Half an epoch only. Train for 2 epochs.",
        "| Seeds of the probes | 1, 2, 3 |",
        "| Versions of libraries | torch 2.13.0 |",
        "| What the forecast rests on | curve, 40 reference runs |",
        "| 100 | 0.810 | 0.860 (0.820 to 0.900) | 80 % |",
        "![The run, forecasts on the way, and the outcome](ftrisk/report.png)",
        "<summary>How this was measured</summary>",
        "- No history was given.",
        "arXiv:2606.17649",
        "| Stopped | at step 120 of 1,000 |",
    ):
        assert words in section


def test_a_hint_is_called_one_and_a_known_outcome_needs_no_why(make_report):
    hint = Diagnosis("nothing_to_gain", "The rest gained nothing.", "Stop.", severity="info")
    known = render_section(make_report(outcome=0.871, diagnoses=(hint,)))
    assert "| Hint | nothing to gain: The rest gained nothing. |" in known
    assert "Check first" not in known
    assert "| Why |" not in known
    assert "| Why |" in render_section(make_report())
    assert "| Why |" in render_section(make_report(outcome=0.871, stopped_at=120))


def test_the_section_has_sixty_lines_at_most_whatever_was_found(make_report):
    many = tuple(Diagnosis(f"finding_{i}", "message", "advice") for i in range(30))
    looks = tuple(Look(10 * i, 0.8, 0.6, 0.9, 0.5, 0.7) for i in range(1, 99))
    names = dict.fromkeys(SETTINGS, 1)
    report = watched(make_report, outcome=0.88, stopped_at=980, diagnoses=many)
    report = dataclasses.replace(
        report, looks=looks, settings=names, notes=("note",) * 50, reasons=("reason",) * 50
    )
    section = render_section(report, figure=True)
    assert len(section.splitlines()) <= 60
    assert "more in the report." in section


def test_six_rows_stand_before_what_is_folded(make_report):
    shown = render_section(watched(make_report, outcome=0.88), figure=True).split("<details>")[0]
    assert len([line for line in shown.splitlines() if line.startswith("| ")]) == 1 + 6


def test_what_redaction_leaves_and_comparisons_read_well_in_the_source(make_report):
    reasons = ("eval_accuracy>=0.9 was not met, see [path] and [token].",)
    section = render_section(make_report(reasons=reasons))
    assert "eval_accuracy ≥ 0.9 was not met, see (path) and (token)." in section


def test_a_bare_report_renders(make_report):
    bare = make_report(
        verdict=Verdict.UNDECIDED,
        goal=Goal("perplexity"),
        forecast=None,
        decomposition=None,
        diagnoses=(),
        baseline=None,
        looks=(),
        probes=(),
        optimal_depth=None,
        settings={},
        notes=(),
        reasons=(),
    )
    section = render_section(bare)
    assert "No final value of eval_perplexity was predicted." in section
    assert "None" not in section
    assert "nan" not in section
    assert "\n\n\n" not in section


def test_a_goal_without_target_is_judged_by_its_baseline(make_report):
    report = make_report(goal=Goal("loss"), baseline=0.7, outcome=0.6)
    assert "| Goal | eval_loss better than the trivial baseline of 0.7 |" in render_section(report)
    assert "goal met" in render_section(report)


def test_the_metadata_are_small_versioned_and_plain(make_report):
    names = tuple(Diagnosis(f"n{i}" * 100, "m" * 900, "a" * 900) for i in range(500))
    report = clean_report(make_report(diagnoses=names, notes=("x" * 5000,) * 300, outcome=0.9))
    data = metadata_of(report)
    assert data["version"] == 2
    assert data["outcome"] == 0.9
    assert data["forecast"]["level"] == 0.9
    assert yaml.safe_load(to_yaml({"ftrisk": data})) == {"ftrisk": data}
    assert len(to_yaml({"ftrisk": data})) < 5000
    assert len(to_yaml({"ftrisk": metadata_of(make_report())})) < 1000
    assert not {"model-index", "results", "eval_results"} & set(json.dumps(data).split('"'))


def test_a_forecast_that_is_not_finite_everywhere_gives_no_invalid_number(make_report):
    wide = Forecast([1e-320, 1e150], step=1)
    parts = build_parts(make_report(forecast=wide, baseline=float("nan")), figure=False)
    json.loads(parts.files["ftrisk/report.json"], parse_constant=pytest.fail)
    assert ".nan" not in to_yaml({"ftrisk": parts.metadata})


def test_the_same_report_gives_the_same_files(make_report):
    assert build_parts(make_report()) == build_parts(make_report())


def test_the_docs_name_every_key_of_the_metadata(make_report):
    text = (Path(__file__).parents[2] / "docs" / "guides" / "hub.md").read_text(encoding="utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]
    documented = yaml.safe_load(textwrap.dedent(block))["ftrisk"]
    data = metadata_of(watched(make_report, outcome=0.9, stopped_at=980))

    def names(value):
        return {k: names(v) for k, v in value.items()} if isinstance(value, dict) else None

    assert names(documented) == names(data)
    assert list(documented) == list(data)


def test_a_setting_stands_in_a_card_by_words_that_say_what_it_is():
    words = {name: section._setting_words(name) for name in SETTINGS}
    assert {name for name, label in words.items() if " " not in label} == {"num_labels"}
    assert words["method"] == "What is trained"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "full"}, "all weights"),
        ({"method": "partial"}, "some of the weights"),
        ({"method": "partial", "peft_type": "lora"}, "LoRA adapter"),
        ({"method": "a later kind"}, "a later kind"),
    ],
)
def test_a_card_says_in_words_which_weights_are_trained(make_report, settings, words):
    text = section.render_section(dataclasses.replace(make_report(), settings=settings))
    assert f"| What is trained | {words} |" in text
