"""Reports of strangers: a changed field is refused at loading, or nothing fails over it later."""

import copy
import dataclasses
import json
import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.findings import Findings
from hf_ftrisk.report.schema import Report
from tests.fuzzing import fuzz

VALUES = [
    "\ud800", "x" * 200_000,
    None, True, False, 0, 1, -1, 2**70, 0.5, -1e308, 1e308, math.nan, math.inf, "", "x", "\x1b[31m",
    "inf", [], {}, [None], [[]], {"x": 1}, [1, 2, 3], ["x"], {"x": None},
]  # fmt: skip


def leaves(data, path=()):
    """Every place in a report's JSON, of its long lists only some."""
    yield path
    if isinstance(data, dict):
        for name, item in data.items():
            yield from leaves(item, (*path, name))
    elif isinstance(data, list):
        for index in sorted({0, 1, len(data) - 1} & set(range(len(data)))):
            yield from leaves(data[index], (*path, index))


def changed(data, path, value):
    made = copy.deepcopy(data)
    if not path:
        return value
    inside = made
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return made


def use(report, folder):
    """All that is done with a report that somebody has sent."""
    report.to_markdown()
    RiskReport.load(report.save(folder / "again.json"))
    build_parts(report, figure=False)
    report.after(report)


def tried(data, folder):
    """Whether a file of `data` was loaded and used; False when it was refused at loading."""
    file = folder / "report.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    try:
        report = RiskReport.load(file)
    except ValueError as error:
        assert str(file) in str(error)  # noqa: PT017 - either outcome is right
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of numpy, over absurd numbers
        use(report, folder)
    return True


@settings(deadline=None, max_examples=fuzz(120))
@given(st.data())
def test_a_changed_field_is_refused_at_loading_or_harms_nothing(
    full_report, tmp_path_factory, data
):
    content = full_report.to_dict()
    path = data.draw(st.sampled_from(sorted(leaves(content), key=str)))
    value = data.draw(st.sampled_from(VALUES))
    tried(changed(content, path, value), tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("cost", "full_steps"), 0, "cost.full_steps"),
        (("cost", "spent_steps"), "many", "cost.spent_steps"),
        (("cost", "new"), 1, "cost.new"),
        (("forecast", "samples"), [], "forecast.samples"),
        (("looks", 0, "prob_good"), 2.0, "looks.0.prob_good"),
        (("decomposition", "draws", "form"), [9], "decomposition.draws"),
        (("decomposition", "identified"), {}, "decomposition"),
        (("run", "evals"), {"eval_a": "x"}, "run.evals.eval_a"),
        (("verdict",), "MAYBE", "verdict"),
        (("signals",), {"rows": "x"}, "signals.rows"),
        (("stage",), None, "stage"),
        (("goal", "kind"), "x" * 100_000, "goal.kind"),
        (("settings",), {"a": "\ud800"}, "settings.a"),
        (("run", "settings"), {"a": [{"\ud800": 1}]}, "run.settings.a"),
    ],
)
def test_what_is_refused_names_the_field(full_report, path, value, told):
    with pytest.raises(ValueError, match=rf"not a report: {told}") as refused:
        RiskReport.from_dict(changed(full_report.to_dict(), path, value))
    assert len(str(refused.value)) < 500


def test_a_version_of_any_length_is_told_in_a_line(full_report):
    with pytest.raises(ValueError, match="report has format_version") as refused:
        RiskReport.from_dict(full_report.to_dict() | {"format_version": "9" * 100_000})
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(("version", "told"), [(99, ": pip install --upgrade hf-ftrisk"), (0, "")])
def test_a_newer_version_is_told_what_to_type(full_report, version, told):
    message = f"report has format_version {version}, this release reads 1{told}$"
    with pytest.raises(ValueError, match=message):
        RiskReport.from_dict(full_report.to_dict() | {"format_version": version})


def test_a_field_of_a_newer_release_is_left_out(full_report):
    data = full_report.to_dict() | {"brand_new": {"x": 1}}
    assert RiskReport.from_dict(data).to_dict() == full_report.to_dict()


def test_the_schema_knows_every_field_of_a_report():
    names = {field.name for field in dataclasses.fields(Findings)}
    assert names == set(Report.model_fields)


def test_what_is_not_finite_comes_back_as_nothing(full_report):
    odd = dataclasses.replace(full_report, signals={"a": math.nan, "b": 1.0}, outcome=math.inf)
    back = RiskReport.from_dict(odd.to_dict())
    assert (dict(back.signals), back.outcome) == ({"b": 1.0}, None)


def test_a_saved_report_may_be_read_like_other_files(full_report, tmp_path):
    (tmp_path / "other").write_text("x", encoding="utf-8")
    saved = full_report.save(tmp_path / "report.json")
    assert saved.stat().st_mode == (tmp_path / "other").stat().st_mode
