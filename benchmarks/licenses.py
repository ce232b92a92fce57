"""The license of every package that an installation of hf-ftrisk brings, as its metadata tell it.

python -m benchmarks.licenses --write docs/reference/licenses.md
python -m benchmarks.licenses --sbom dist/sbom.json
"""

from __future__ import annotations

import argparse
import json
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BEGIN, END = "<!-- licenses:begin -->", "<!-- licenses:end -->"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
NOT_TOLD = "not told"
EXTRAS = ("boost", "demo", "html", "plots", "tensorboard", "train")


def requires(name: str) -> list[str]:
    """What a package asks for; of hf-ftrisk as the checkout says, installed as it may be."""
    if name != "hf-ftrisk":
        return metadata.requires(name) or []
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    of_extras = [f"{text}; extra == '{extra}'" for extra, texts in extras for text in texts]
    return [*project["dependencies"], *of_extras]


def needed(name: str, extras: tuple[str, ...] = ()) -> dict[str, metadata.Distribution]:
    """Canonical name -> distribution of a package's requirements, and of theirs."""
    requirements: dict[str, metadata.Distribution] = {}
    waiting = [(name, extras)]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        for text in requires(item[0]):
            requirement = Requirement(text)
            wanted = [{"extra": extra} for extra in ("", *item[1])]
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate(extra) for extra in wanted):
                continue
            key = canonicalize_name(requirement.name)
            if key != name:
                requirements[key] = metadata.distribution(requirement.name)
            waiting.append((requirement.name, tuple(sorted(requirement.extras))))
    return requirements


def license_of(distribution: metadata.Distribution) -> str:
    """What a distribution says of its license: an expression, else classifiers, else a line."""
    facts = distribution.metadata
    if expression := facts.get("License-Expression"):
        return str(expression)
    classes = [c for c in facts.get_all("Classifier") or () if c.startswith("License :: ")]
    named = [c.split(" :: ")[-1] for c in classes if not c.endswith("OSI Approved")]
    if named:
        return ", ".join(sorted(named))
    lines = (facts.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else NOT_TOLD


def complete(sbom: dict[str, Any]) -> list[str]:
    """Give each component of a CycloneDX list the license that its metadata tell.

    What made the list reads expressions and classifiers, and leaves out a license that is told as
    a line of text.

    Args:
        sbom: the list, completed in place.

    Returns:
        Names of the components that tell no license at all.
    """
    silent = []
    for component in sbom["components"]:
        if component.get("licenses"):
            continue
        told = license_of(metadata.distribution(component["name"]))
        if told == NOT_TOLD:
            silent.append(component["name"])
        else:
            component["licenses"] = [{"license": {"name": told, "acknowledgement": "declared"}}]
    return silent


def main() -> None:
    """Print the table, or write it into a page; or complete a list of components."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--sbom", type=Path, help="CycloneDX file to add missing licenses to")
    given = parser.parse_args()
    if given.sbom is not None:
        sbom = json.loads(given.sbom.read_text(encoding="utf-8"))
        silent = complete(sbom)
        given.sbom.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")
        print(f"licenses of {len(sbom['components']) - len(silent)} packages")
        print(f"no license told by: {', '.join(silent) or 'none'}")
        return
    always, train = needed("hf-ftrisk"), needed("hf-ftrisk", ("train",))
    rows = ["| package | version | license | needed by |", "|---|---|---|---|"]
    for name, distribution in sorted(needed("hf-ftrisk", EXTRAS).items()):
        by = "always" if name in always else "train" if name in train else "another extra"
        rows.append(f"| {name} | {distribution.version} | {license_of(distribution)} | {by} |")
    print("\n".join(rows))
    if given.write is not None:
        before, _, rest = given.write.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        text = "\n".join([BEGIN, "", *rows, "", END])
        given.write.write_text(f"{before}{text}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
