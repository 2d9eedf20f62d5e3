"""The integer reference: what a quantized model means, in exact arithmetic on rational numbers."""

from toolchain.integers.reference import Answer, IntegerReference, IntegerRegion, Island

__all__ = ["Answer", "IntegerReference", "IntegerRegion", "Island"]
