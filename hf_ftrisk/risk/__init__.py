"""Risk of a forecast by depth: decomposition, decay, optimal depth, regimes (numpy and scipy)."""

from hf_ftrisk.risk.decay import Decay, Form, TailEnergy, tail_energy
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.risk.fit import fit_risk_curve
from hf_ftrisk.risk.prior import RiskPrior
from hf_ftrisk.risk.regimes import Regime, regime_probabilities

__all__ = [
    "Decay",
    "Form",
    "Regime",
    "RiskDecomposition",
    "RiskPrior",
    "TailEnergy",
    "fit_risk_curve",
    "regime_probabilities",
    "tail_energy",
]
