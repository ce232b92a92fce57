"""What a run is told that has nothing more to gain, where nobody asked for it to be ended."""

from __future__ import annotations

from hf_ftrisk.goal import Goal
from hf_ftrisk.report.findings import Finish
from hf_ftrisk.report.wording import gain_words, share
from hf_ftrisk.text import sentence
from hf_ftrisk.verdict import Diagnosis

# Share of the run before which nobody is told that it has nothing more to gain, unless they asked.
HINTS_FROM = 0.25


def hint_words(finish: Finish, goal: Goal, max_steps: int) -> str:
    """What is expected of the rest of a run that goes on, in one sentence."""
    most = finish.expected_gain if finish.most_gain is None else finish.most_gain
    text = (
        f"from step {finish.step} on, the last {share(1.0 - finish.step / max_steps)} of this run "
        f"are expected to gain {gain_words(finish.expected_gain or 0.0, goal)} on average"
    )
    if most is not None:
        text += f", in nine of ten such runs at most {gain_words(most, goal)}"
    if finish.tolerance is not None:
        text += f", and less than {gain_words(finish.tolerance, goal)} counts as none"
    return f"{text}; {goal.metric} was best at step {finish.best_step}."


def nothing_to_gain(finish: Finish, goal: Goal, max_steps: int) -> Diagnosis:
    """The diagnosis of a run that went on although it had nothing more to gain."""
    return Diagnosis(
        name="nothing_to_gain",
        message=sentence(hint_words(finish, goal, max_steps)),
        advice="finish='gain' ends such runs by itself; keep the best checkpoint "
        "with load_best_model_at_end=True.",
        severity="info",
        evidence={"step": float(finish.step), "expected_gain": finish.expected_gain or 0.0},
    )
