"""LLaMA-Factory with the callback: python llamafactory_train.py llamafactory.yaml."""

from __future__ import annotations

from llamafactory.train.tuner import run_exp

from hf_ftrisk import FineTuneRiskCallback

if __name__ == "__main__":
    # The YAML, and key=value after it, are read from the command line.
    run_exp(callbacks=[FineTuneRiskCallback("eval_loss", report_dir="reports")])
