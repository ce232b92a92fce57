"""Other people's training scripts, unchanged, alone and under `hf-ftrisk run`.

    make clients EXAMPLES=path/to/transformers/examples/pytorch
    python -m benchmarks.clients PATH [--trl FOLDER] [--only run_glue ...] [--write PAGE]

Each script runs twice on tiny models and data made here: as it is, and under `hf-ftrisk run` with
`--action warn`. The weights that it saves have to be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clients.material import build
from benchmarks.clients.scripts import CLIENTS, Client
from benchmarks.watched import write_table

ROOT = Path(__file__).parents[2]
TIMEOUT = 1800
_VERSIONS = ("transformers", "trl", "datasets", "torch")


@dataclass(frozen=True)
class Ran:
    """How one program ended.

    Args:
        status: its exit status.
        output: what it printed.
        weights: SHA-256 of what it saved; None: it saved no weights.
    """

    status: int
    output: str
    weights: str | None


def train(command: list[str], output: Path, cwd: Path) -> Ran:
    """Run a training program to its end."""
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(cwd / "cache"),
        "HF_FTRISK_HISTORY": "off",
        "TOKENIZERS_PARALLELISM": "false",
    }
    process = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    file = output / "model.safetensors"
    weights = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    return Ran(process.returncode, process.stdout, weights)


def row_of(client: Client, folders: dict[str, Path], work: Path) -> str:
    """The table's row of one script; its output stays below `work`."""
    place = work / client.name.replace(" ", "_").replace(",", "")
    script = str(folders[client.project] / client.script)
    plain = train([sys.executable, script, *client.arguments(place / "a")], place / "a", work)
    reports = place / "reports"
    ours = [sys.executable, "-m", "hf_ftrisk", "run", "--action", "warn", "--budget", "0.3"]
    ours += ["--seeds", "1", "--report-dir", str(reports)]
    ours += [] if client.goal is None else ["--goal", client.goal]
    under = train([*ours, script, *client.arguments(place / "b")], place / "b", work)
    place.mkdir(exist_ok=True)
    (place / "plain.txt").write_text(plain.output)
    (place / "under.txt").write_text(under.output)
    before, after = (read(reports / f"{name}.json") for name in ("preflight", "watch"))
    same = "-"
    if plain.weights is not None and under.weights is not None:
        same = "yes" if plain.weights == under.weights else "**no**"
    return (
        f"| {client.name} | {client.goal or 'none given'} | {plain.status} | {under.status} "
        f"| {judged(before)} | {judged(after)} | {ended(after)} | {same} |"
    )


def read(file: Path) -> dict[str, Any] | None:
    """A report as data, None where none was written."""
    return json.loads(file.read_text()) if file.is_file() else None


def judged(report: dict[str, Any] | None) -> str:
    """Verdict and goal of a report in a cell."""
    if report is None:
        return "none"
    verdict = str(report["verdict"]).lower().replace("_", "-")
    return f"{verdict}, {report['goal']['metric']}"


def ended(report: dict[str, Any] | None) -> str:
    """The first forecast's interval and the outcome in a cell."""
    if report is None or report.get("outcome") is None:
        return "-"
    looks = [look for look in report["looks"] if look["step"] > 0]
    first = (
        f"{looks[0]['low']:.3g} to {looks[0]['high']:.3g} at {looks[0]['step']}; " if looks else ""
    )
    return f"{first}{report['outcome']:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", type=Path, help="examples/pytorch of a transformers checkout")
    parser.add_argument("--trl", type=Path, help="folder of TRL's scripts; the installed ones")
    parser.add_argument("--only", nargs="*", help="some of the scripts, by their row's name")
    parser.add_argument("--work", type=Path, help="folder that keeps what the scripts printed")
    parser.add_argument("--write", type=Path, help="the page that has marks for the table")
    options = parser.parse_args()
    folders = {"transformers": options.examples.absolute(), "trl": trl_scripts(options.trl)}
    work = options.work or Path(tempfile.mkdtemp(prefix="clients_"))
    work = work.absolute()
    build(work)
    lines = [
        ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _VERSIONS),
        "",
        "| script | goal | status alone | under `hf-ftrisk run` | pre-flight | watched "
        "| first forecast (90 %), outcome | same weights |",
        "| --- | --- | ---: | ---: | --- | --- | --- | --- |",
    ]
    for client in CLIENTS:
        if not options.only or client.name in options.only:
            lines.append(row_of(client, folders, work))
            print(lines[-1], flush=True)
    if options.write:
        write_table(options.write, "clients", "\n".join(lines))


def trl_scripts(folder: Path | None) -> Path:
    """The folder of TRL's scripts: the one that is given, or that of the installed package."""
    if folder is not None:
        return folder.absolute()
    import trl

    return Path(trl.__file__).parent / "scripts"


if __name__ == "__main__":
    main()
