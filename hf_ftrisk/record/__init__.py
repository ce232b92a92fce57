"""One fine-tuning run as data."""

from hf_ftrisk.record.run_record import RunRecord, Status
from hf_ftrisk.record.selection import ModelSelection

__all__ = ["ModelSelection", "RunRecord", "Status"]
