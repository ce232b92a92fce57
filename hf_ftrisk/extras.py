"""Packages beyond the base install: which extra brings them, and what to type where one is missing.

The base install reads, forecasts and reports; what trains, draws or talks to another tool comes
with an extra and is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from hf_ftrisk.errors import MissingExtraError

# Extra of pyproject.toml -> the modules it brings.
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        "torch",
        "transformers",
        "accelerate",
        "datasets",
        "peft",
        "datasketch",
        "sklearn",
    ),
    "html": ("plotly",),
    "plots": ("matplotlib",),
    "tensorboard": ("tensorboard",),
    "boost": ("lightgbm",),
    "optuna": ("optuna",),
    "ray": ("ray",),
}
_HOME = {module: extra for extra, modules in EXTRAS.items() for module in modules}


def missing_modules(extra: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def install_command(extra: str) -> str:
    """What to type to install an extra."""
    return f'pip install "hf-ftrisk[{extra}]"'


def require(extra: str) -> None:
    """Check that an extra is installed, without importing what it brings.

    Raises:
        MissingExtraError: a module of it is missing.
    """
    for module in missing_modules(extra):
        raise _missing(module)


@contextmanager
def named_extras() -> Iterator[None]:
    """Imports inside say which extra is missing.

    Raises:
        MissingExtraError: a module of an extra is missing; it names what to type.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        root = (error.name or "").partition(".")[0]
        if isinstance(error, MissingExtraError) or root not in _HOME:
            raise
        raise _missing(root) from error


def _missing(module: str) -> MissingExtraError:
    extra = _HOME[module]
    return MissingExtraError(
        f"this needs {module}, which is not installed: {install_command(extra)}", name=module
    )
