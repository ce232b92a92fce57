"""What is told of a run: data, words, terminal, figure."""

from hf_ftrisk.report.findings import Cost, Look
from hf_ftrisk.report.report import RiskReport

__all__ = ["Cost", "Look", "RiskReport"]
