"""``python -m benchmarks [NET ...]``: the latency case, and without a network the interpreter and certificates too."""

import sys

from benchmarks import certificate, interpreter, latency

latency.main(sys.argv[1:])
sys.stdout.write((latency.RESULTS / "latency.md").read_text(encoding="utf-8"))
if not sys.argv[1:]:
    interpreter.main()
    sys.stdout.write((interpreter.RESULTS / "interpreter.md").read_text(encoding="utf-8"))
    certificate.main()
    sys.stdout.write((certificate.RESULTS / "certificate.md").read_text(encoding="utf-8"))
