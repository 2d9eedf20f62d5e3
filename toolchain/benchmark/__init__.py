"""Check the answer, then time: interleaved, with intervals, and where every node ran."""

from toolchain.benchmark.run import Benchmark, Measurement, benchmark

__all__ = ["Benchmark", "Measurement", "benchmark"]
