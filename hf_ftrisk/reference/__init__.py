"""Packaged reference runs and what is fitted on them."""

from hf_ftrisk.reference.packaged import load_pairs, load_reference

__all__ = ["load_pairs", "load_reference"]
