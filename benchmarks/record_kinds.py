"""Record runs of tasks beyond the class of a text, each with what a pre-flight would have seen.

    python -m benchmarks.record_kinds record --shards recordings/kinds  # resumable
    python -m benchmarks.record_kinds pack --shards recordings/kinds    # into the repository

Run it from the repository root. Several workers share the plan with --worker 0/2, --worker 1/2.
Runs that are in the shards or packed already are skipped. Packed runs lie apart from the long runs:
the pre-flight's rule of other tasks is fitted on both, forecasts on the long runs alone.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.longruns import store
from benchmarks.longruns.kinds import kinds_plan
from benchmarks.record_long import record
from benchmarks.recording.arguments import add_pack, add_record


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add_record(commands)
    add_pack(commands)
    options = parser.parse_args(arguments)
    if options.command == "record":
        record(options.shards, options.worker, options.minutes, kinds_plan(), store.KINDS)
    else:
        print(f"{store.pack(options.shards, store.KINDS)} runs packed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
