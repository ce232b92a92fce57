"""The page of `hf-ftrisk replay --html`, as it is seen and used in a real browser."""

from __future__ import annotations

import json
import re

import pytest

from hf_ftrisk.cli.replay import run_replay
from hf_ftrisk.replay.examples import load_example
from tests.browsing import NARROW, SIGHTS, WIDE, browser, opened

__all__ = ["browser"]
pytestmark = pytest.mark.slow

NAMES_SHOWN = "#runs tbody td:first-child"
DRAWN_ANEW = """() => {
  const figure = document.querySelector("#figure");
  return figure.querySelector(".main-svg").clientWidth === figure.clientWidth;
}"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two pages: one run, and a folder with a poor run and three good ones, one named hostilely."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("overfits", "sound", "stopped"):
        (folder / f"{name}.json").write_text(json.dumps(load_example(name).state))
    hostile = folder / "<img src=x onerror=document.title='taken'>.json"
    hostile.write_text(json.dumps(load_example("wrong").state))
    run_replay(folder, html=folder / "overview.html")
    run_replay(None, example="stopped", html=folder / "run.html")
    return folder


@pytest.fixture(scope="module")
def run(written):
    """What the page of one run holds."""
    page = (written / "run.html").read_text(encoding="utf-8")
    return json.loads(re.search(r"^const RUNS = (.*);$", page, re.MULTILINE)[1])[0]


@pytest.fixture(scope="module")
def one(browser, written):
    with opened(browser, written / "run.html") as sight:
        yield sight


@pytest.fixture(scope="module")
def overview(browser, written):
    with opened(browser, written / "overview.html") as sight:
        yield sight


@pytest.mark.parametrize(("size", "scheme"), SIGHTS)
@pytest.mark.parametrize("page", ["one", "overview"])
def test_a_page_fits_its_window_and_is_legible(request, page, size, scheme):
    sight = request.getfixturevalue(page)
    sight.look(size, scheme)
    sight.page.wait_for_function(DRAWN_ANEW)
    assert sight.page.locator("#figure .scatterlayer .trace").count() >= 4
    assert sight.overflow() <= 0
    for text in (".soft", ".lead", ".said dd", ".said dt", "#findings dd", "td", "th"):
        assert sight.contrast(text) >= 4.5, text
    paper = sight.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    ink = sight.page.locator("#figure .xtick text").first.evaluate("(e) => e.style.fill")
    assert (ink == "rgb(26, 37, 48)") == (scheme == "light")


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_slider_is_moved_by_keys_and_tells_what_was_known_at_each_step(one, run, size):
    one.look(size)
    slider = one.page.get_by_role("slider", name="What would it have said at step")
    slider.press("Home")
    for look in run["looks"][:3] + run["looks"][-1:]:
        if look is run["looks"][-1]:
            slider.press("End")
        words = look["words"]
        assert one.text("#at") == words["at"].removeprefix("step ")
        assert one.text("#forecast") == words["forecast"]
        assert one.text("#good") == words["good"]
        assert words["forecast"] in slider.get_attribute("aria-valuetext")
        slider.press("ArrowRight")


def test_the_curve_ends_where_the_slider_stands(one, run):
    drawn = "document.getElementById('figure').data.find((t) => t.name === 'eval_accuracy').x"
    slider = one.page.get_by_role("slider")
    slider.press("Home")
    early = one.page.evaluate(drawn)
    slider.press("End")
    assert early == [step for step in run["steps"] if step <= run["looks"][0]["step"]]
    assert one.page.evaluate(drawn) == run["steps"]


def test_a_value_is_told_where_the_pointer_is(one, run):
    one.look(WIDE)
    one.page.wait_for_function(DRAWN_ANEW)
    one.page.get_by_role("slider").press("End")
    middle = len(run["steps"]) // 2
    one.page.locator("#figure .points path.point").nth(middle).hover(force=True)
    told = one.page.locator("#figure .hoverlayer .hovertext")
    told.wait_for()
    assert f"step {run['steps'][middle]:g}: {run['values'][middle]:.4g}" in told.text_content()


def test_what_is_seen_has_a_name_for_those_who_do_not_see_it(overview):
    page = overview.page
    picture = page.get_by_role("img", name=re.compile("eval_accuracy of stopped.json over 500"))
    assert "outcome 0.125" in picture.get_attribute("aria-label")
    assert page.get_by_role("region", name="Table of runs").count() == 1
    assert page.get_by_role("region", name="Table of forecasts").count() == 1
    assert page.get_by_role("columnheader", name="outcome", exact=True).count() == 1
    curves = page.locator("#runs").get_by_role("img", name=re.compile("^from .* to "))
    assert curves.count() == 4
    unnamed = page.locator("button, input").evaluate_all(
        "(all) => all.filter((e) => !e.textContent && !e.labels?.length).length"
    )
    assert unnamed == 0


def test_the_overview_begins_with_the_poor_and_is_sorted_with_the_mouse(overview):
    assert overview.texts(NAMES_SHOWN)[0] == "stopped.json"
    heading = overview.page.get_by_role("button", name="run", exact=True)
    heading.click()
    up = overview.texts(NAMES_SHOWN)
    heading.click()
    assert [name for name in up if not name.startswith("<")] == [
        "overfits.json",
        "sound.json",
        "stopped.json",
    ]
    assert overview.texts(NAMES_SHOWN) == up[::-1]


def test_the_overview_is_sorted_and_a_run_shown_with_the_keyboard_alone(overview):
    page = overview.page
    heading = page.get_by_role("button", name="outcome", exact=True)
    for _ in range(40):
        page.keyboard.press("Tab")
        if heading.evaluate("(e) => e === document.activeElement"):
            break
    page.keyboard.press("Enter")
    outcomes = [float(text) for text in overview.texts("#runs tbody td:nth-child(4)")]
    assert outcomes == sorted(outcomes)
    assert heading.locator("..").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert heading.locator("..").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="sound.json").focus()
    page.keyboard.press("Enter")
    assert overview.text("#name") == "sound.json"
    assert page.evaluate("document.activeElement.id") == "name"
    assert "It ended with eval_accuracy 0.926: a good run" in overview.text("#lead")
    assert page.locator("#runs tr[aria-current=true]").text_content().startswith("sound.json")


def test_a_strangers_name_is_shown_as_text_and_does_nothing(overview):
    overview.page.get_by_role("button", name=re.compile("<img src=x")).click()
    assert overview.text("#name").startswith("<img src=x")
    assert overview.page.title() != "taken"


def test_nothing_was_asked_of_a_network_and_nothing_failed(one, overview, written):
    for sight, name in ((one, "run.html"), (overview, "overview.html")):
        assert sight.requests == [(written / name).as_uri()]
        assert sight.errors == []
