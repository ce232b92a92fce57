"""Risk of a forecast by depth: decomposition, decay, optimal depth, regimes (numpy and scipy)."""

from hf_ftrisk.risk.decay import Decay, Form, TailEnergy, tail_energy
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.risk.estimators import RiskEstimate, probe_risk, replay_risk
from hf_ftrisk.risk.fit import fit_risk_curve
from hf_ftrisk.risk.optimal_depth import Budget
from hf_ftrisk.risk.prior import RiskPrior
from hf_ftrisk.risk.regimes import Regime, regime_probabilities
from hf_ftrisk.risk.variance import VarianceParts, mean_floor, rate_floor, variance_parts

__all__ = [
    "Budget",
    "Decay",
    "Form",
    "Regime",
    "RiskDecomposition",
    "RiskEstimate",
    "RiskPrior",
    "TailEnergy",
    "VarianceParts",
    "fit_risk_curve",
    "mean_floor",
    "probe_risk",
    "rate_floor",
    "regime_probabilities",
    "replay_risk",
    "tail_energy",
    "variance_parts",
]
