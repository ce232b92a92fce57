"""From a forecast to a verdict: stopping rule and diagnoses."""

from hf_ftrisk.policy.calibration import Predictor
from hf_ftrisk.policy.default import default_rule
from hf_ftrisk.policy.diagnoses import diagnose
from hf_ftrisk.policy.failures import certain_failure
from hf_ftrisk.policy.looks import look_steps
from hf_ftrisk.policy.preflight import judge_preflight
from hf_ftrisk.policy.stopping import GO_PROBABILITY, StoppingRule
from hf_ftrisk.policy.verdict import Diagnosis, Ruling, Verdict

__all__ = [
    "GO_PROBABILITY",
    "Diagnosis",
    "Predictor",
    "Ruling",
    "StoppingRule",
    "Verdict",
    "certain_failure",
    "default_rule",
    "diagnose",
    "judge_preflight",
    "look_steps",
]
