"""`hf-ftrisk doctor`: what is installed, and what cannot be done without more, and why."""

from __future__ import annotations

import platform
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Any

import typer

from hf_ftrisk._version import __version__
from hf_ftrisk.cli.group import print_json

app = typer.Typer()

_WIDTH = 88
# What would be refused, or left out, without an extra.
_WITHOUT = {
    "train": "preflight, FineTuneRiskCallback, rank; hf-ftrisk run, rank and demo",
    "html": "hf-ftrisk replay --html",
    "plots": "figures in model cards and reports",
    "tensorboard": "hf-ftrisk replay of TensorBoard event files",
    "boost": "LightGBM in LearnedPredictor; scikit-learn's boosting takes its place",
    "optuna": "hf_ftrisk.integrations.optuna",
    "ray": "hf_ftrisk.integrations.ray and rank(engine='ray')",
}
# What no install changes.
_NEVER = (
    (
        "preflight(trainer) with FSDP or DeepSpeed, of a model sharded when it was loaded, or with "
        "layer-wise optimizers",
        "such a Trainer cannot be restored after a probe",
        "hf-ftrisk run train.py, which probes it in a process of its own",
    ),
    (
        "a pre-flight with XLA or SageMaker model parallelism",
        "such a Trainer cannot be restored after a probe",
        "watch its run with FineTuneRiskCallback",
    ),
)


@app.command()
def doctor(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show versions, device, extras, and what cannot be done here and what to do instead.

    Exit status: 0, whatever is missing.

    Example: `hf-ftrisk doctor --json`
    """
    findings = examined()
    if json_output:
        print_json(findings)
    else:
        typer.echo(_words(findings))


def examined() -> dict[str, Any]:
    """What is installed and what follows from it, JSON-ready."""
    from hf_ftrisk.extras import EXTRAS, install_command, missing_modules

    extras: list[dict[str, Any]] = []
    for name in EXTRAS:
        missing = missing_modules(name)
        extras.append(
            {
                "extra": name,
                "installed": not missing,
                "missing": missing,
                "install": install_command(name),
            }
        )
    refused_extras = [
        {
            "what": _WITHOUT[extra["extra"]],
            "why": f"{', '.join(extra['missing'])} not installed",
            "do": extra["install"],
        }
        for extra in extras
        if not extra["installed"]
    ]
    refused_extras += [{"what": what, "why": why, "do": do} for what, why, do in _NEVER]
    return {
        "hf_ftrisk": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": _device(),
        "versions": _versions(),
        "extras": extras,
        "refused": refused_extras,
    }


def _versions() -> dict[str, str]:
    """Version of every package that any extra may bring, where it is installed."""
    from packaging.requirements import Requirement

    versions: dict[str, str] = {}
    for line in requires("hf-ftrisk") or ():
        name = Requirement(line).name
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return dict(sorted(versions.items()))


def _device() -> str:
    """What a training here would run on."""
    from hf_ftrisk.extras import missing_modules

    if "torch" in missing_modules("train"):
        return "unknown: torch is not installed"
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return "Apple GPU (mps)" if torch.backends.mps.is_available() else "CPU"


def _words(findings: dict[str, Any]) -> str:
    from hf_ftrisk.text import visible

    versions = ", ".join(f"{name} {number}" for name, number in findings["versions"].items())
    lines = [
        f"hf-ftrisk {findings['hf_ftrisk']}, Python {findings['python']}, {findings['platform']}",
        f"device: {findings['device']}",
        "",
        "versions",
        *textwrap.wrap(
            versions, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        ),
        "",
        "extras",
    ]
    for extra in findings["extras"]:
        state = "installed" if extra["installed"] else f"missing: {extra['install']}"
        lines.append(f"  {extra['extra']:<12}{state}")
    lines += ["", "cannot be done, and what to do"]
    for item in findings["refused"]:
        lines.append(f"  {item['what']}")
        lines.append(f"    {item['why']}" + (f": {item['do']}" if item["do"] else ""))
    lines += ["", f"interpreter: {sys.executable}"]
    return visible("\n".join(lines))
