"""The package's layers: which package may import which, and what each holds.

``python -m tests.layers`` prints the table of docs/reference/architecture.md from `LAYERS`;
tests/test_layers.py holds the code and the page to it.
"""

from __future__ import annotations

from typing import NamedTuple


class Package(NamedTuple):
    """A package, or a module, directly below ``hf_ftrisk``.

    Args:
        holds: what is in it, in a line.
        torch: whether it may import torch or transformers when it is imported.
    """

    holds: str
    torch: bool = False


# The lowest first. A package imports from lower layers only: not from the packages beside it.
LAYERS: tuple[dict[str, Package], ...] = (
    {
        "_version": Package("the version of this release"),
        "errors": Package("every exception, as a tree"),
        "failopen": Package("the broad handler: no fault of ours ends a person's run"),
        "jsonfile": Package("files from outside, JSON above all, read within bounds"),
        "atomic": Package("files that a reader sees whole"),
        "text": Package("text that may be printed: one clean line, nothing that commands"),
        "verdict": Package("`Verdict`, `Diagnosis`: the words a judgment is given in"),
        "goal": Package("`Goal`: metric, direction, target, baselines; what names and values say"),
    },
    {
        "extras": Package("packages beyond the base install, and what to type for them"),
        "redaction": Package("text without paths, addresses, tokens and names"),
    },
    {"record": Package("`RunRecord`: one run as data, from any Trainer's log; its settings")},
    {
        "privacy": Package("what may leave the machine"),
        "reference": Package("packaged runs and what is fitted on them, with provenance"),
        "hub_repo": Package("one card's text, one repository's files, edited without loss"),
    },
    {
        "forecast": Package(
            "`Forecaster`, `Forecast`: from a prefix to a distribution of the outcome"
        ),
        "history": Package("`RunHistory`: completed runs on disk, as a Hub data set in and out"),
        "trainers": Package("all that is known of transformers' Trainer", torch=True),
    },
    {
        "risk": Package(
            "the mathematics of arXiv 2606.17649: decomposition, decay, depth, regimes"
        ),
        "signals": Package("X_s and features of X_d: data, frozen model, trajectory", torch=True),
    },
    {"diagnoses": Package("named failures of runs, data and wiring, with advice", torch=True)},
    {
        "policy": Package("`StoppingRule`, the verdict before a run; calibration, packaged rules"),
        "report": Package("`RiskReport`: data, words, terminal (rich), figure (matplotlib)"),
    },
    {
        "replay": Package("finished runs, judged as they would have been on the way"),
        "hub": Package("`publish`, `attach_card`: the report in the model card"),
    },
    {
        "probing": Package("`preflight`: probes of several seeds, no trace left", torch=True),
        "watch": Package("`FineTuneRiskCallback`: what it sees, when it looks", torch=True),
    },
    {
        "run": Package("`hf-ftrisk run`: any training script with its Trainers judged", torch=True),
        "demo": Package("the main job on a real model and real data", torch=True),
    },
    {"choosing": Package("`rank`: which of several candidates ends best, on a budget", torch=True)},
    {"integrations": Package("Optuna's pruner, Ray's scheduler", torch=True)},
    {"cli": Package("the command: it parses, calls and prints")},
    {
        "__main__": Package("`python -m hf_ftrisk`"),
        "__init__": Package("the public names, imported on first use"),
    },
)


def table() -> str:
    """The layers as a Markdown table."""
    rows = ["| layer | package | torch | what is in it |", "| ---: | --- | --- | --- |"]
    for number, layer in enumerate(LAYERS, start=1):
        for name, package in layer.items():
            torch = "may load it" if package.torch else ""
            rows.append(f"| {number} | `{name}` | {torch} | {package.holds} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")
