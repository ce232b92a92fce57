"""A ranking as data and in words."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from hf_ftrisk.choosing import Ranking, rank
from hf_ftrisk.choosing.figure import plot_fans
from hf_ftrisk.errors import CardError
from tests.choosing.simulated import Curves

ENDS: dict[str, float | None] = {"a|b": 0.62, "b": 0.9, "c": None}


@pytest.fixture
def ranking(tmp_path: Path) -> Ranking:
    makes = {name: lambda: None for name in ENDS}
    return rank(makes, "eval_accuracy", engine=Curves(ENDS), folder=tmp_path)


def test_it_survives_its_file(ranking: Ranking, tmp_path: Path) -> None:
    ranking.save(tmp_path / "r.json")
    back = Ranking.load(tmp_path / "r.json")
    assert back.to_dict() == ranking.to_dict()
    assert str(back) == str(ranking)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(ValueError, match="no ranking"):
        Ranking.load(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("part", "odd"),
    [
        ("entries", [5]),
        ("entries", [{}]),
        ("goal", {"metric": "eval_accuracy", "other": 1}),
        ("budget", "x"),
        ("notes", None),
        ("format_version", "9" * 10_000),
    ],
)
def test_a_changed_part_is_refused_in_a_line(
    ranking: Ranking, tmp_path: Path, part: str, odd: object
) -> None:
    (tmp_path / "r.json").write_text(json.dumps({**ranking.to_dict(), part: odd}))
    with pytest.raises(ValueError, match="holds no ranking") as refused:
        Ranking.load(tmp_path / "r.json")
    assert len(str(refused.value)) < 500


def test_the_card_says_among_how_many_and_by_probes_of_which_depth(ranking: Ranking) -> None:
    text = ranking.to_markdown()
    assert "b chosen among 3 by probes of" in text
    assert r"a\|b" in text


def test_a_card_gets_the_section_once_and_keeps_every_other_byte(
    ranking: Ranking, tmp_path: Path
) -> None:
    card = tmp_path / "README.md"
    before = "---\r\ntags: [mine]  # kept\r\n---\r\n# Mine\r\n"
    card.write_bytes(before.encode())
    ranking.write_card(card)
    once = card.read_bytes()
    assert once.startswith(before.encode())
    assert once.count(b"chosen among 3") == 1
    assert b"\n" not in once.replace(b"\r\n", b"")
    below = b"Below.\r\n"
    card.write_bytes(once + below)
    ranking.write_card(card)
    assert card.read_bytes() == once + below


def test_a_card_is_made_where_there_is_none(ranking: Ranking, tmp_path: Path) -> None:
    ranking.write_card(tmp_path / "README.md")
    assert "### Choice among candidates" in (tmp_path / "README.md").read_text()


def test_a_card_that_is_no_text_is_left_as_it_is(ranking: Ranking, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(b"\xff\xfe")
    with pytest.raises(CardError, match="is no text in UTF-8"):
        ranking.write_card(card)
    assert card.read_bytes() == b"\xff\xfe"


def test_the_card_keeps_paths_and_tokens_of_faults_back(ranking: Ranking) -> None:
    fault = "fault: OSError: /home/ada/secret.bin with token hf_abcdefghijklmnop"
    entries = (*ranking.entries[:-1], replace(ranking.entries[-1], decided_by=fault))
    text = replace(ranking, entries=entries).to_markdown()
    assert "OSError" in text
    assert "ada" not in text
    assert "hf_abc" not in text


def test_the_table_has_a_row_for_each(ranking: Ranking) -> None:
    lines = str(ranking).splitlines()
    assert len([line for line in lines if line.startswith(("a|b", "b ", "c "))]) == len(ENDS) + 1
    assert "OutOfMemoryError" in str(ranking)


def test_an_entry_is_found_by_its_name(ranking: Ranking) -> None:
    assert ranking["b"].name == "b"
    with pytest.raises(KeyError, match="no candidate 'x'"):
        ranking["x"]


def test_the_figure_is_the_same_for_the_same_ranking(ranking: Ranking, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first = ranking.plot(tmp_path / "a.png").read_bytes()
    assert first == ranking.plot(tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG")


def test_every_candidate_that_was_seen_is_a_line_over_the_depth_with_its_name(
    ranking: Ranking,
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    axes = plot_fans(ranking, figure.Figure().subplots())
    assert [text.get_text() for text in axes.texts] == ["a|b", "b"]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    ends = {line.get_xydata()[-1][0] for line in dashed}
    assert (len(dashed), ends) == (2, {1.0})
    best = next(line for line in dashed if line.get_linewidth() == 2.0)
    assert ranking.best is not None
    assert ranking.best.forecast is not None
    assert best.get_xydata()[-1][1] == pytest.approx(ranking.best.forecast.point)


def test_names_of_lines_that_end_alike_do_not_cover_each_other(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    ends: dict[str, float | None] = {f"c{i}": 0.8 for i in range(6)} | {"low": 0.5}
    alike = rank(
        {name: lambda: None for name in ends}, "eval_accuracy", engine=Curves(ends), folder=tmp_path
    )
    axes = plot_fans(alike, figure.Figure().subplots())
    heights = sorted(text.xy[1] for text in axes.texts)
    bottom, top = axes.get_ylim()
    gaps = [(b - a) / (top - bottom) for a, b in itertools.pairwise(heights)]
    assert min(gaps) > 0.04


def test_looks_without_their_values_leave_what_was_seen_last(ranking: Ranking) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    bare = tuple(
        replace(entry, looks=tuple(replace(look, observed=None) for look in entry.looks))
        for entry in ranking.entries
    )
    axes = plot_fans(replace(ranking, entries=bare), figure.Figure().subplots())
    points = [line.get_xydata() for line in axes.lines if line.get_linestyle() == "-"]
    assert [len(line) for line in points] == [1, 1]
    assert {line[0][1] for line in points} == {e.observed for e in bare if e.observed is not None}
