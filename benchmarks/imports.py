"""The package's import graph in figures: how many packages, on how many levels, which way.

    python -m benchmarks.imports [--package FOLDER]

Counts every import, wherever it stands in a file and for types too, between the packages and
modules directly below ``hf_ftrisk``. A level is how long the longest chain of imports below a
package is; a circle is a set of packages that import each other by any way round. `FOLDER` is the
package of another checkout: imports are upward by the layers of tests/layers.py, so these are
counted for this one alone.
"""

from __future__ import annotations

import argparse
import graphlib
from collections.abc import Mapping, Set
from pathlib import Path

import hf_ftrisk
from tests.layers import LAYERS
from tests.test_layers import imports, package_of

Graph = Mapping[str, Set[str]]


def package_graph(folder: Path) -> Graph:
    """Package -> the packages it imports, of the tree below `folder`."""
    paths = sorted(folder.rglob("*.py"))
    names = {path: _module(path, folder) for path in paths}
    modules = frozenset(names.values())
    graph: dict[str, set[str]] = {package_of(name): set() for name in modules}
    for path, name in names.items():
        importer = package_of(name)
        for other in imports(path.read_text(encoding="utf-8"), modules):
            if package_of(other) != importer:
                graph[importer].add(package_of(other))
    return graph


def _module(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def circles(graph: Graph) -> list[frozenset[str]]:
    """Sets of packages that reach each other by imports, of two or more."""
    below = {name: _reached(name, graph) for name in graph}
    together = {
        frozenset(other for other in below[name] if name in below[other]) | {name} for name in graph
    }
    return sorted((group for group in together if len(group) > 1), key=sorted)


def _reached(start: str, graph: Graph) -> frozenset[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for other in graph[waiting.pop()] - reached:
            reached.add(other)
            waiting.append(other)
    return frozenset(reached)


def levels(graph: Graph) -> int:
    """Packages on the longest chain of imports, each circle counted as one."""
    group_of = {name: frozenset({name}) for name in graph}
    group_of |= {name: group for group in circles(graph) for name in group}
    groups: dict[frozenset[str], set[frozenset[str]]] = {
        group: set() for group in group_of.values()
    }
    for name, others in graph.items():
        groups[group_of[name]] |= {group_of[other] for other in others} - {group_of[name]}
    height: dict[frozenset[str], int] = {}
    for group in graphlib.TopologicalSorter(groups).static_order():
        height[group] = 1 + max((height[other] for other in groups[group]), default=0)
    return max(height.values())


def upward(graph: Graph) -> list[tuple[str, str]]:
    """(importer, imported) where the imported package is in no lower layer."""
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    return sorted(
        (name, other)
        for name, others in graph.items()
        for other in others
        if layer[other] >= layer[name]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, help="folder of the package in another checkout")
    folder = parser.parse_args().package
    graph = package_graph(Path(hf_ftrisk.__file__).parent if folder is None else folder)
    print(f"{len(graph)} packages on {levels(graph)} levels")
    print(f"{sum(len(others) for others in graph.values())} imports between them")
    if folder is None:
        print(f"{len(upward(graph))} upward")
    print(f"{len(circles(graph))} circles", *(" ".join(sorted(group)) for group in circles(graph)))


if __name__ == "__main__":
    main()
