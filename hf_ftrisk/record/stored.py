"""A run record's fields from their stored form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hf_ftrisk.jsonfile import check_format
from hf_ftrisk.record.columns import from_json, from_list
from hf_ftrisk.record.selection import ModelSelection

FORMAT_VERSION = 1


def record_fields(data: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The fields of a record from `RunRecord.to_dict`'s form.

    Args:
        data: the stored form; what a newer release has added to it is left out.
        names: names of a record's fields.

    Raises:
        ValueError: another format version.
    """
    check_format("run record", data.get("format_version"), FORMAT_VERSION)
    present = {name for name in names if name in data}
    fields = {name: data[name] for name in present}
    fields["selection"] = ModelSelection.from_dict(data)
    for name in ("train_step", "train_loss", "grad_norm", "learning_rate", "eval_step"):
        fields[name] = from_list(fields.get(name, []))
    fields["evals"] = {k: from_list(v) for k, v in (fields.get("evals") or {}).items()}
    nan_steps = fields.get("nan_steps") or {}
    fields["nan_steps"] = {k: from_list(v) for k, v in nan_steps.items()}
    for name in ("baselines", "final", "static"):
        fields[name] = {k: from_json(v) for k, v in (fields.get(name) or {}).items()}
    if fields.get("schedule") is not None:
        fields["schedule"] = from_list(fields["schedule"])
    return fields
