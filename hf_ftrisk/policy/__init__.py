"""From a forecast to a verdict."""

from hf_ftrisk.policy.grid import look_steps
from hf_ftrisk.policy.named import RULES, rule_maker
from hf_ftrisk.policy.packaged import default_rule
from hf_ftrisk.policy.parts.rule import decision_parts
from hf_ftrisk.policy.patience import PatienceRule
from hf_ftrisk.policy.preflight import judge_preflight
from hf_ftrisk.policy.protocol import Rule, RuleMaker
from hf_ftrisk.policy.rule import GO_PROBABILITY, StoppingRule

__all__ = [
    "GO_PROBABILITY",
    "RULES",
    "PatienceRule",
    "Rule",
    "RuleMaker",
    "StoppingRule",
    "decision_parts",
    "default_rule",
    "judge_preflight",
    "look_steps",
    "rule_maker",
]
