"""Static int8 QDQ: observe ranges on training data, rewrite, judge on test data."""

from toolchain.quantize.rewrite import FloatLayer, Scheme
from toolchain.quantize.static import Quantization, Speed, quantize

__all__ = ["FloatLayer", "Quantization", "Scheme", "Speed", "quantize"]
