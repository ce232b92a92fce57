"""The state of a ranking: decisions, budget, faults, going on after a crash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hf_ftrisk.choosing import Ranking, rank
from hf_ftrisk.choosing.options import RankOptions
from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.choosing.study import Study
from hf_ftrisk.goal import Goal
from tests.choosing.simulated import STEPS, Curves

ENDS: dict[str, float | None] = {"a": 0.62, "b": 0.9, "c": 0.7, "d": 0.8, "e": 0.55}


def ranked(
    folder: Path, ends: dict[str, float | None], engine: Curves, **settings: object
) -> Ranking:
    makes = {name: lambda: None for name in ends}
    return rank(makes, "eval_accuracy", engine=engine, folder=folder, **settings)  # type: ignore[arg-type]


def test_the_best_curve_is_found_within_the_budget(tmp_path: Path) -> None:
    engine = Curves(ENDS)
    ranking = ranked(tmp_path, ENDS, engine, budget=0.3)
    assert ranking.best is not None
    assert ranking.best.name == "b"
    assert ranking.spent <= 0.3 + 1e-9
    assert sum(entry.prob_best for entry in ranking.entries) == pytest.approx(1.0)
    deepest = {order.name: order.target for order in engine.orders}
    assert deepest["b"] > deepest["e"]


def test_all_are_surveyed_before_any_is_trained(tmp_path: Path) -> None:
    engine = Curves(ENDS)
    ranked(tmp_path, ENDS, engine)
    assert [order.target for order in engine.orders[: len(ENDS)]] == [0] * len(ENDS)


def test_a_candidate_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    engine = Curves(ENDS)
    ranked(tmp_path, ENDS, engine, budget=0.4)
    legs = [order for order in engine.orders if order.name == "b" and order.target]
    assert legs[0].checkpoint is None
    assert [leg.checkpoint for leg in legs[1:]] == [
        f"{leg.folder}/checkpoint-{leg.target}" for leg in legs[:-1]
    ]


def test_a_fault_ends_its_candidate_alone(tmp_path: Path) -> None:
    ends = {**ENDS, "b": None}
    ranking = ranked(tmp_path, ends, Curves(ends))
    assert ranking.best is not None
    assert ranking.best.name == "d"
    assert ranking["b"].status == "failed"
    assert "OutOfMemoryError" in ranking["b"].decided_by
    assert ranking.entries[-1].name == "b"


def test_where_all_fail_nothing_is_chosen(tmp_path: Path) -> None:
    ends: dict[str, float | None] = {"a": None, "b": None}
    ranking = ranked(tmp_path, ends, Curves(ends))
    assert ranking.best is None
    assert "None of 2" in str(ranking)


@pytest.mark.parametrize("after", [2, 6, 9])
def test_it_goes_on_after_a_crash_as_if_there_had_been_none(tmp_path: Path, after: int) -> None:
    uncut, engine = Curves(ENDS), Curves(ENDS)
    whole = ranked(tmp_path / "whole", ENDS, uncut, budget=0.4)
    with pytest.raises(KeyboardInterrupt):
        ranked(tmp_path / "cut", ENDS, Curves(ENDS, fail_after=after), budget=0.4)
    again = ranked(tmp_path / "cut", ENDS, engine, budget=0.4)
    assert [(e.name, e.step, e.prob_best) for e in again.entries] == [
        (e.name, e.step, e.prob_best) for e in whole.entries
    ]
    assert engine.orders[0].name == uncut.orders[after].name
    assert len(engine.orders) == len(uncut.orders) - after


def test_a_larger_budget_goes_on_from_a_finished_ranking(tmp_path: Path) -> None:
    first = ranked(tmp_path, ENDS, Curves(ENDS), budget=0.2)
    second = ranked(tmp_path, ENDS, Curves(ENDS), budget=0.5)
    assert second.spent > first.spent


def test_another_ranking_in_the_folder_is_refused(tmp_path: Path) -> None:
    ranked(tmp_path, ENDS, Curves(ENDS))
    with pytest.raises(ValueError, match=r"holds a ranking with names .* give another folder"):
        ranked(tmp_path, {"x": 0.5, "y": 0.6}, Curves({"x": 0.5, "y": 0.6}))


def test_a_budget_of_everything_is_not_overspent(tmp_path: Path) -> None:
    ranking = ranked(tmp_path, ENDS, Curves(ENDS), budget=1.0)
    assert ranking.best is not None
    assert ranking.best.name == "b"
    assert ranking.spent <= 1.0 + 1e-9


def test_of_a_complete_run_the_end_is_known(tmp_path: Path) -> None:
    study = Study(("a",), RankOptions(Goal("accuracy")), tmp_path)
    engine = Curves({"a": 0.8})
    for target in (0, STEPS):
        order = replace(study.next_orders()[0], target=target)
        study.take(engine.carry_out([order])[0])
    assert study.next_orders() == []
    best = study.ranking().best
    assert best is not None
    assert best.status == "complete"
    assert best.forecast is not None
    assert (best.forecast.median, best.forecast.std) == (0.8, 0.0)
    assert best.to_come == 0.0


def test_costs_in_time_are_measured_seconds(tmp_path: Path) -> None:
    ranking = ranked(tmp_path, ENDS, Curves(ENDS), budget=0.3, unit="time")
    assert ranking.unit == "seconds"
    entry = ranking["b"]
    assert entry.to_come == pytest.approx(0.1 * (STEPS - entry.step))


def test_costs_in_money_follow_each_candidates_price(tmp_path: Path) -> None:
    prices = dict.fromkeys(ENDS, 3600.0) | {"b": 7200.0}
    ranking = ranked(tmp_path, ENDS, Curves(ENDS), unit="money", price_per_hour=prices, budget=0.3)
    engine_seconds = {name: ranking[name].spent / (prices[name] / 3600.0) for name in ENDS}
    assert ranking.unit == "USD"
    assert engine_seconds["a"] > 0


def test_orders_and_reports_travel_as_json() -> None:
    order = Order("a", Goal("accuracy"), 5, "/x", looked={3: {"eval_accuracy": 0.5}})
    assert Order.from_dict(order.to_dict()) == order
    reached = Curves(ENDS).carry_out([order])[0]
    back = Reached.from_dict(reached.to_dict())
    assert back.looked == reached.looked
    assert back.record is not None
    assert back.record.max_steps == STEPS


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"budget": 0.0}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"unit": "hours"}, "unit"),
        ({"unit": "money"}, "price_per_hour"),
        ({"at_once": 0}, "at_once"),
        ({"signal_seconds": -1.0}, "signal_seconds"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RankOptions(Goal("accuracy"), **settings)  # type: ignore[arg-type]


def test_no_candidate_is_refused() -> None:
    with pytest.raises(ValueError, match="got none"):
        rank({}, "eval_accuracy")


def test_one_of_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="one of 2"):
        rank({"a": lambda: None}, "eval_accuracy")


def test_names_that_are_no_folder_names_get_folders_of_their_own(tmp_path: Path) -> None:
    study = Study(("a/b", "a b"), RankOptions(Goal("accuracy"), at_once=2), tmp_path)
    folders = [order.folder for order in study.next_orders()]
    assert len(set(folders)) == 2
    assert all(Path(folder).parent == tmp_path for folder in folders)
