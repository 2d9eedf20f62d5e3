"""Compile a model to C.

``rewrites`` fold the graph, ``walk`` and ``kernels`` make layers of its nodes, ``fuse`` joins them, ``plan`` places
their memory, ``generate`` writes the text. ``requantize`` proves the integers. ``targets`` says where it runs.
"""

from toolchain.compile.compile import Compilation, compile  # noqa: A004 - the verb's name
from toolchain.compile.options import Options

__all__ = ["Compilation", "Options", "compile"]
