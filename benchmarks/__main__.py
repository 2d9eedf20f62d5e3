"""``python -m benchmarks [NET ...]``: the latency case."""

import sys

from benchmarks.latency import RESULTS, main

main(sys.argv[1:])
sys.stdout.write((RESULTS / "latency.md").read_text(encoding="utf-8"))
