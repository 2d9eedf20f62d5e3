"""One self-contained HTML page: what a run found, with pictures."""

from toolchain.report.errors import of_verification
from toolchain.report.findings import Artifact, Findings, Gallery, Verdict
from toolchain.report.page import FLOAT_MODEL, INT8_MODEL, notes, render

__all__ = ["FLOAT_MODEL", "INT8_MODEL", "Artifact", "Findings", "Gallery", "Verdict"]
__all__ += ["notes", "of_verification", "render"]
