"""ONNX side: export, inspect, verify, quantize, evaluate, benchmark, report.

Each verb of the command line is also a function of this package, with the same name and the same words::

    import toolchain

    toolchain.export("lenet5", output=Path("lenet5.onnx"))
    assert toolchain.verify(Path("lenet5.onnx")).ok

A verb's module is imported when the verb is first asked for. A module that bears its verb's name stays
reachable as ``from toolchain.export import ...``; as an attribute of the package the name is the function.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.train import train as train
    from toolchain.export import export as export
    from toolchain.inspect import inspect as inspect

# Verb -> the module that has the function.
_HOMES = {
    "train": "models.train",
    "export": "toolchain.export",
    "inspect": "toolchain.inspect",
    "verify": "toolchain.verify",
    "quantize": "toolchain.quantize",
    "compile": "toolchain.compile",
    "evaluate": "toolchain.evaluate",
    "predict": "toolchain.predict",
    "benchmark": "toolchain.benchmark",
    "bundle": "toolchain.bundle",
    "run": "toolchain.recipe",
    "check": "toolchain.recipe",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the closed list stands above


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """Binds the function where the import system would bind the submodule of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
