"""The stopping rules that have a name."""

from __future__ import annotations

from collections.abc import Mapping

from hf_ftrisk.policy.packaged import default_rule
from hf_ftrisk.policy.patience import patience_rule
from hf_ftrisk.policy.protocol import RuleMaker

RULES: Mapping[str, RuleMaker] = {
    "calibrated": default_rule,
    "patience": patience_rule,
}


def rule_maker(rule: str | RuleMaker) -> RuleMaker:
    """What makes the rule: found by its name, or given as it is.

    Raises:
        ValueError: no rule of this name.
        TypeError: something that is neither a name nor can be called.
    """
    if isinstance(rule, str):
        if rule not in RULES:
            raise ValueError(
                f"no stopping rule is called {rule!r}: the rules are {', '.join(RULES)}; for "
                "one of your own pass the function that makes it (hf_ftrisk.policy.RuleMaker)"
            )
        return RULES[rule]
    if not callable(rule):
        raise TypeError(
            f"rule must be a name of {', '.join(RULES)} or a RuleMaker, got a {type(rule).__name__}"
        )
    return rule
