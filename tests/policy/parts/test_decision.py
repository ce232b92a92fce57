"""The verdict from the parts, and what it says decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hf_ftrisk import Goal
from hf_ftrisk.policy.parts.decision import decide, stands
from hf_ftrisk.policy.parts.parts import Parts, part_names, read_parts, task_kind
from hf_ftrisk.policy.parts.rule import (
    PartsRule,
    PreflightRules,
    decisive_part,
    preflight_rule,
)
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.verdict import Verdict
from tests.policy.parts.test_parts import GOAL, probe

SOUND = Parts(
    signal=2.0, reach=0.0, rows=2.0, movement=0.8, simulated=0.0, heat=0.0,
    learning=0.2, separation=0.5, progress=0.5, stability=0.0, forecast=2.0,
)  # fmt: skip
RULE = PartsRule(
    intercept=-4.2,
    weights=dict.fromkeys(part_names(), 1.0),
    missing=dict.fromkeys(part_names(), 0.0),
    sound=dict(zip(part_names(), SOUND.values({}), strict=True)),
    good=[0.1] * 10 + [0.9] * 90,
    good_settings=[str(number) for number in range(100)],
    go=0.9,
    go_rate=0.1,
    runs=100,
    data_sets=10,
)
RULES = PreflightRules(rows=RULE, others=replace(RULE, intercept=-5.0))
GOOD = probe([0.7, 0.6, 0.5, 0.4, 0.35, 0.3], accuracy=0.75, loss=0.35, signal_z=40.0)


def seen(**static):
    flat = {
        "signal_score": 0.49, "signal_shuffled": 0.5, "signal_rows": 500.0, "signal_p": 0.005,
    }  # fmt: skip
    return replace(probe([0.7] * 6), static=GOOD.static | flat | static)


def test_all_parts_well_is_a_go_that_says_why():
    decision = decide([GOOD], GOAL, 0.5, RULES)
    assert decision.ruling.verdict is Verdict.GO
    assert decision.finding is None
    assert decision.ruling.reason.startswith("Sound: ")
    assert "50 % below that of a constant prediction" in decision.ruling.reason


def test_a_rate_that_moves_nothing_is_told_to_go_up():
    tiny = replace(seen(signal_z=14.0, schedule_gain=0.0035), learning_rate=[1e-7] * 6)
    decision = decide([tiny], GOAL, 0.5, RULES)
    assert decision.ruling.verdict is Verdict.NO_GO
    assert decision.finding.name == "cannot_move"
    assert (
        "lower the loss by at most about 0.0035 (first-order estimate)" in decision.finding.message
    )
    assert decision.finding.advice == (
        "Raise the learning rate: 1e-5 to 1e-4 would lower the loss by about 0.35 to 3.5."
    )


def test_a_rate_that_throws_everything_about_is_told_to_go_down():
    hot = replace(
        probe([0.7, 3.0, 3.0, 3.0, 3.0, 3.0], loss=3.0),
        static=seen(schedule_gain=350.0, schedule_rates=0.5).static,
        learning_rate=[5e-2] * 6,
    )
    decision = decide([hot], GOAL, 0.5, RULES)
    assert decision.finding.name == "unstable"
    assert decision.finding.advice.startswith("Lower the learning rate: 5e-5 to 5e-4")


def test_labels_like_shuffled_ones_are_no_signal():
    decision = decide([seen(signal_z=0.3, signal_p=0.4, signal_eval_score=0.5)], GOAL, 0.5, RULES)
    assert decision.ruling.verdict is Verdict.NO_GO
    assert decision.finding.name == "no_signal"
    assert "0.490 against 0.500 (p = 0.4, 500 rows)" in decision.finding.message


def test_a_target_beyond_reach_names_one_within():
    decision = decide([seen(signal_z=40.0)], GOAL.with_target(0.995), 0.5, RULES)
    assert decision.finding.name == "target_out_of_reach"
    # Log odds of 0 on 500 rows, 0.4 on the 1,000 that the run sees.
    assert "Set a target below 0.799" in decision.finding.advice


def preferences(gain: float, **static: float):
    known = {
        "zero_shot_loss": 2.0, "input_gain": 0.001, "input_gain_z": 0.4, "schedule_gain": gain,
        "schedule_rates": 1e-3, "train_rows": 500.0,
    }  # fmt: skip
    return replace(probe([2.0] * 6, loss=2.0), static=known | static, learning_rate=[1e-6] * 6)


def test_of_tasks_that_were_not_recorded_only_a_schedule_that_moves_nothing_is_judged():
    goal = Goal("eval_loss", target=1.0)
    assert decide([preferences(5.0)], goal, 2.0, RULES) is None
    assert decide([preferences(0.1)], goal, 2.0, RULES) is None
    still = decide([preferences(1e-3)], goal, 2.0, RULES)
    assert still.ruling.verdict is Verdict.NO_GO
    assert still.finding.name == "cannot_move"


@pytest.mark.parametrize(
    ("signals", "kind"),
    [
        ({"uniform_loss": 0.7, "signal_score": 0.9}, "rows"),
        ({"signal_score": 0.9, "perplexity": 3.0}, "tokens"),
        ({"signal_score": 0.9}, "labels"),
        ({"signal_score": 0.4, "signal_correlation": 0.6}, "numbers"),
        ({"perplexity": 9.0, "input_gain": 0.1}, "text"),
        ({"zero_shot_loss": 0.7}, None),
    ],
)
def test_the_kind_of_task_is_told_by_what_could_be_measured(signals, kind):
    assert task_kind(signals) == kind


def test_a_language_model_is_judged_by_the_rule_of_other_tasks():
    goal = Goal("eval_loss", target=1.0)
    text = preferences(5.0, perplexity=7.4)
    parts = read_parts(text, goal, 2.0)
    assert decide([text], goal, 2.0, RULES).ruling.prob_good == RULES.others.prob_good(parts)


def test_answers_that_do_not_depend_on_their_prompts_are_no_go():
    learned = replace(probe([2.0, 1.5, 1.2, 1.0, 0.9, 0.8], loss=0.8), learning_rate=[1e-3] * 6)
    static = preferences(50.0, perplexity=7.4).static
    goal, sure = Goal("eval_loss", target=1.5), replace(RULE, intercept=8.0)
    rules = PreflightRules(rows=RULE, others=sure)
    used = replace(learned, static={**static, "input_gain": 0.8, "input_gain_z": 6.0})
    shuffled = replace(learned, static=static)
    assert decide([used], goal, 2.0, rules).ruling.verdict is Verdict.GO
    decision = decide([shuffled], goal, 2.0, rules)
    assert decision.ruling.verdict is Verdict.UNDECIDED
    assert decision.finding.name == "no_signal"
    assert "a GO needs targets that depend on their inputs" in decision.ruling.reason


def test_completed_runs_make_no_go_of_a_run_whose_answers_are_shuffled():
    go, no_go = (Ruling(verdict, "by history") for verdict in (Verdict.GO, Verdict.NO_GO))
    shuffled = {"perplexity": 15.5, "input_gain": 0.03, "input_gain_z": 0.2}
    assert not stands(go, shuffled)
    assert stands(no_go, shuffled)
    assert stands(go, shuffled | {"input_gain_z": 6.9})
    # A model that does not know the language makes nothing of any input.
    assert stands(go, shuffled | {"perplexity": 5000.0})


def test_random_weights_that_write_text_are_judged_and_those_that_tell_classes_are_not():
    text, tags = (
        preferences(5.0, perplexity=7.4),
        preferences(5.0, perplexity=7.4, signal_score=0.9),
    )
    scratch = {"pretrained": False}
    assert RULES.of(replace(text, settings=scratch)) is RULES.others
    assert RULES.of(replace(tags, settings=scratch)) is None
    assert RULES.of(tags) is RULES.others


def test_a_model_from_scratch_is_not_judged_by_what_its_random_weights_show():
    unlike = seen(signal_z=0.3, signal_p=0.4, signal_eval_score=0.5)
    assert decide([unlike], GOAL, 0.5, RULES).ruling.verdict is Verdict.NO_GO
    scratch = replace(unlike, settings={**unlike.settings, "pretrained": False})
    assert decide([scratch], GOAL, 0.5, RULES) is None


def test_between_the_thresholds_it_says_what_keeps_it_open():
    decision = decide([seen(signal_z=40.0)], GOAL.with_target(0.8), 0.5, RULES)
    assert decision.ruling.verdict is Verdict.UNDECIDED
    assert "Main concern: Target out of reach" in decision.ruling.reason
    # As far as this probe goes with all rows: just below.
    assert "Set a target below 0.799" in decision.finding.advice


def test_where_no_part_is_wrong_more_budget_is_what_is_missing():
    decision = decide([seen(signal_z=40.0)], GOAL, 0.5, RULES)
    assert decision.ruling.verdict is Verdict.UNDECIDED
    assert decision.finding is None
    assert "Nothing measured speaks against the run, but 6 of 100 steps" in decision.ruling.reason


def test_the_mean_over_the_probes_decides():
    ruling = decide([GOOD, seen(signal_z=40.0)], GOAL, 0.5, RULES).ruling
    alone = [
        decide([one], GOAL, 0.5, RULES).ruling.prob_good for one in (GOOD, seen(signal_z=40.0))
    ]
    assert ruling.prob_good == pytest.approx(sum(alone) / 2)
    assert "mean over 2 probes" in ruling.reason


def test_no_probe_is_refused():
    with pytest.raises(ValueError, match="judged by its probes"):
        decide([], GOAL, 0.5, RULES)


@pytest.mark.parametrize("name", part_names())
def test_each_part_decides_where_it_alone_is_low(name):
    lowest = {
        "signal": 0.0, "reach": -4.0, "rows": 0.5, "movement": -2.5, "simulated": -4.0,
        "heat": -1.5, "learning": -0.2, "separation": -0.5, "progress": -0.3, "stability": -2.0,
        "forecast": -4.0,
    }[name]  # fmt: skip
    assert decisive_part(replace(SOUND, **{name: lowest}), RULE) == name


SHUFFLED = {"signal": 0.0, "reach": -2.35, "simulated": -2.35, "separation": 0.0, "forecast": 0.5}
TINY = {"movement": -3.5, "simulated": -0.5, "separation": 0.0, "learning": 0.0, "forecast": -2.0}
HUGE = {"heat": -1.5, "stability": -1.6, "learning": -0.2, "separation": 0.0, "forecast": -1.4}
BEYOND = {"reach": -3.0, "simulated": -3.0, "forecast": -3.5}


@pytest.mark.parametrize(
    ("low", "names"),
    [
        (SHUFFLED, {"signal"}),
        (TINY, {"movement"}),
        (HUGE, {"heat", "stability"}),
        (BEYOND, {"reach"}),
        (SHUFFLED | TINY, {"signal", "movement"}),
    ],
    ids=["shuffled labels", "rate tiny", "rate huge", "target out of reach", "shuffled and tiny"],
)
def test_the_packaged_rule_names_the_fault(low, names):
    assert decisive_part(replace(SOUND, **low), preflight_rule()) in names


def test_a_part_that_looks_better_never_lowers_the_chance():
    for name in part_names():
        better = replace(SOUND, **{name: getattr(SOUND, name) + 0.1})
        assert RULE.prob_good(better) >= RULE.prob_good(SOUND)


def test_what_was_not_measured_counts_as_the_mean_pair():
    assert RULE.log_odds(Parts()) == pytest.approx(RULE.intercept)
    assert set(RULE.deficits(Parts()).values()) == {0.0}


def test_the_threshold_of_a_no_go_is_the_conformal_one():
    rule = replace(
        RULE, good=[k / 20 for k in range(1, 20)], good_settings=[str(k) for k in range(19)]
    )
    assert rule.no_go(0.05) == pytest.approx(1 / 20)
    assert rule.no_go(0.1) == pytest.approx(2 / 20)
    assert rule.no_go(0.049) == 0.0


def test_goals_and_seeds_of_one_setting_are_no_more_evidence_than_one():
    rule = replace(
        RULE, good=[k / 20 for k in range(1, 20)], good_settings=[*"abcdefghi"] * 2 + ["a"]
    )
    assert rule.no_go(0.05) == 0.0


def test_where_little_was_measured_nothing_is_decided():
    bare = replace(probe([0.7] * 6), static={})
    assert decide([bare], GOAL, 0.5, RULES) is None
