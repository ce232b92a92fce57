"""The command ``hf-ftrisk``: it parses, calls and prints."""

from hf_ftrisk.cli.app import main

__all__ = ["main"]
