"""The prediction in a card, written and read back."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.errors import CardError
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub import CardMetadata, publish
from hf_ftrisk.hub.fields import CardField, whole
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.verdict import Diagnosis

REPO = "me/tiny"


def card_of(report) -> str:
    return build_parts(report, figure=False).merged_into(None, title="tiny")


def test_what_a_card_says_is_read_back_from_its_text(make_report):
    report = make_report(outcome=0.871, stopped_at=900)
    read = CardMetadata.from_card(card_of(report))
    written = CardMetadata.from_report(report)
    assert read.to_dict() == written.to_dict()
    assert (read.verdict, read.goal, read.stage) == (report.verdict, report.goal, "preflight")
    assert (read.outcome, read.stopped_at, read.full_steps) == (0.871, 900, 1000)
    assert read.forecast.median == pytest.approx(report.forecast.point, rel=1e-5)
    assert read.diagnoses == ("too_few_steps",)


def test_a_card_is_found_as_file_folder_and_on_the_hub(hub, report, tmp_path):
    text = card_of(report)
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    expected = CardMetadata.from_card(text)
    assert CardMetadata.from_card(tmp_path) == expected
    assert CardMetadata.from_card(str(tmp_path / "README.md")) == expected
    hub.make(REPO)
    publish(report, REPO, figure=False)
    assert CardMetadata.from_card(REPO) == expected


def test_the_smallest_card_is_read(make_report):
    bare = make_report(forecast=None, decomposition=None, diagnoses=(), baseline=None, looks=())
    read = CardMetadata.from_card(card_of(bare))
    assert (read.forecast, read.risk, read.outcome, read.diagnoses) == (None, None, None, ())


def test_a_goal_on_a_scale_that_its_name_does_not_say_is_kept(make_report):
    percent = Goal("eval_accuracy", target=85.0, kind="percent")
    read = CardMetadata.from_card(card_of(make_report(goal=percent)))
    assert (read.goal.kind, read.goal.target) == ("percent", 85.0)


def test_old_names_of_diagnoses_are_read_as_what_they_are_called_now(make_report):
    old = make_report(diagnoses=(Diagnosis("nonfinite_first_loss", "m", "a"),))
    assert CardMetadata.from_card(card_of(old)).diagnoses == ("non_finite_loss",)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("# Mine\n", "holds no prediction.*no key 'ftrisk'"),
        ("---\nftrisk: 3\n---\n", "holds no prediction"),
        ("---\nftrisk: {version: 3}\n---\n", "has version 3, this release reads 1 and 2"),
        ("---\na: [\n---\n", "YAML"),
    ],
)
def test_a_card_without_a_prediction_says_so(card, message):
    with pytest.raises(CardError, match=message):
        CardMetadata.from_card(card)


@pytest.mark.parametrize("place", ["nowhere.md", "./a/b", "a/b/c"])
def test_what_is_no_card_is_told(place):
    with pytest.raises(CardError, match="expected a file, a folder with one, or owner/name"):
        CardMetadata.from_card(place)


@pytest.fixture
def written(make_report):
    return CardMetadata.from_report(make_report(outcome=0.871)).to_dict()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("verdict",), "MAYBE", "verdict must be one of GO, NO_GO, UNDECIDED, got 'MAYBE'"),
        (("goal",), None, "goal must be a mapping"),
        (("goal", "metric"), 3, "metric must be text"),
        (("goal", "greater_is_better"), "yes", "greater_is_better must be a bool"),
        (("steps", "full"), None, "lacks 'full'"),
        (("forecast", "median"), float("inf"), "median must be a finite number"),
        (("forecast", "low"), True, "low must be a finite number"),
        (("outcome",), "0.9", "outcome must be a finite number"),
        (("diagnoses",), "few", "list of names"),
    ],
)
def test_what_no_release_has_written_is_refused(written, path, value, message):
    odd = copy.deepcopy(written)
    place = odd
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(CardError, match=message):
        CardMetadata.from_dict(odd)


def test_a_card_of_version_1_is_read_whose_median_was_called_mean(written):
    old = copy.deepcopy(written) | {"version": 1}
    for name in ("forecast", "early_forecast"):
        if name in old:
            old[name]["mean"] = old[name].pop("median")
    assert CardMetadata.from_dict(old) == CardMetadata.from_dict(written)


@pytest.mark.parametrize("version", [None, 0, 3, "2", [2]])
def test_a_card_of_another_version_is_refused_by_it(written, version):
    with pytest.raises(CardError, match="this release reads 1 and 2"):
        CardMetadata.from_dict(written | {"version": version})


def test_text_from_a_stranger_is_one_clean_line(written):
    odd = written | {"diagnoses": ["a\x1b[2J\nb"], "hf_ftrisk": "9\n\x07"}
    read = CardMetadata.from_dict(odd)
    assert (read.diagnoses, read.hf_ftrisk) == (("a[2J b",), "9")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoreMetadata(CardMetadata):
    """With one field more, declared as the others are."""

    probes: Annotated[int | None, CardField(lambda report: len(report.probes), whole)] = None


def test_a_field_is_written_and_read_back_by_its_declaration_alone(report):
    plain = MoreMetadata.from_report(report).to_dict()
    assert plain["probes"] == len(report.probes)
    assert MoreMetadata.from_dict(plain).probes == len(report.probes)
    with pytest.raises(CardError, match="probes must be a finite number, got 'three'"):
        MoreMetadata.from_dict(plain | {"probes": "three"})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)

KEYS = [field.name for field in dataclasses.fields(CardMetadata)] + ["steps", "version"]


@given(st.sampled_from(KEYS), PLAIN)
def test_any_value_anywhere_is_read_or_refused_in_words(key, value):
    plain = {
        "version": 1,
        "stage": "watch",
        "verdict": "GO",
        "goal": {"metric": "eval_accuracy", "target": 0.8},
        "steps": {"full": 100, "spent": 10},
    }
    with contextlib.suppress(CardError):  # any other exception fails the test
        read = CardMetadata.from_dict(plain | {key: value})
        assert CardMetadata.from_dict(read.to_dict()) is not None
