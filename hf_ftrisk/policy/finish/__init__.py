"""Ending a run that has nothing more to gain."""

from hf_ftrisk.policy.finish.rule import (
    EASING,
    LOST_RATE,
    MAX_CHANCE,
    Easing,
    FinishRule,
    FinishRuling,
    finish_rule,
    harmful_score,
    is_look,
    packaged_scores,
    threshold_of,
)

__all__ = [
    "EASING",
    "LOST_RATE",
    "MAX_CHANCE",
    "Easing",
    "FinishRule",
    "FinishRuling",
    "finish_rule",
    "harmful_score",
    "is_look",
    "packaged_scores",
    "threshold_of",
]
