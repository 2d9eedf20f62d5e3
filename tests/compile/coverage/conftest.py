"""The networks run under ``make coverage-c`` alone, which builds each kernel once for each instruction set."""

from __future__ import annotations

import os

from tests.compile.instrument import VARIABLE

collect_ignore = [] if os.environ.get(VARIABLE, "").startswith("coverage:") else ["test_lines.py"]
