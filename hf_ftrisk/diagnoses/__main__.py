"""``python -m hf_ftrisk.diagnoses``: the table of checks, as docs/reference/diagnoses.md has it."""

from hf_ftrisk.diagnoses.checks import checks_table

print(checks_table())
