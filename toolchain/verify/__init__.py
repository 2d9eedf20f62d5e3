"""Judge a backend node by node: observe its tensors, bound them, give a verdict."""

from toolchain.verify.verdict import RegionVerdict, Verification
from toolchain.verify.verify import verify

__all__ = ["RegionVerdict", "Verification", "verify"]
