"""Ending a run that has nothing more to gain."""

from hf_ftrisk.policy.finish.rule import (
    EASING,
    LOST_RATE,
    MOST_CHANCE,
    FinishRule,
    FinishRuling,
    finish_rule,
    floor_of,
    harmful_score,
    is_look,
    packaged_scores,
)

__all__ = [
    "EASING",
    "LOST_RATE",
    "MOST_CHANCE",
    "FinishRule",
    "FinishRuling",
    "finish_rule",
    "floor_of",
    "harmful_score",
    "is_look",
    "packaged_scores",
]
