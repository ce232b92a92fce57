"""``python -m hf_ftrisk.diagnoses``: the table of checks, as docs/evidence/policy.md has it."""

from hf_ftrisk.diagnoses.checks import checks_table

print(checks_table())
