"""``verify --backend c-NAME``: generated C in a target's emulator, judged node by node."""

from __future__ import annotations

import shutil

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from tests.compile.graphs import draw
from tests.compile.test_float import _model
from tests.compile.test_float_wide import network
from tests.conftest import Exported, RunCli
from toolchain.compile import wasm
from toolchain.compile.targets import TARGETS
from toolchain.errors import MissingError, UnsupportedError
from toolchain.verify import verify
from toolchain.verify.verify import BACKENDS, DEVICES

LONG = ("c-cortex-m0", "c-cortex-m3", "c-cortex-m33", "c-riscv", "c-wasm-mvp", "c-armv7")

NETWORK = 70_000
"""Bytes of RAM that the layers of every kind take; chips with less get a smaller graph."""


def _needs(backend: str) -> None:
    target = TARGETS[DEVICES[backend]]
    for tool in (target.compiler, target.emulator):
        if tool is None or shutil.which(tool.name) is None:
            pytest.skip(f"{tool} is not installed")
    if target.module:
        try:
            wasm.check_tools(target)
        except MissingError as error:
            pytest.skip(str(error))


def test_every_target_with_an_emulator_is_a_backend() -> None:
    assert {f"c-{name}" for name, target in TARGETS.items() if target.emulator} <= BACKENDS.keys()


@pytest.mark.parametrize("backend", [pytest.param(b, marks=pytest.mark.slow) if b in LONG else b for b in DEVICES])
def test_a_device_keeps_the_limits(backend: str, exported: Exported) -> None:
    """A trained network, and layers of every kind: all nodes looked at, all within their limits."""
    _needs(backend)
    memory = TARGETS[DEVICES[backend]].memory
    several = network() if memory is None or memory.ram > NETWORK else draw(2, real=True)
    for model, data in ((exported("lenet5"), {"data": "mnist:test:2"}), (several, {"synthetic": 2})):
        found = verify(model, backend=backend, **data)  # type: ignore[arg-type]
        assert found.ok, found.defects
        assert found.undisturbed
        assert found.samples == 2
        assert found.backend.startswith(backend)
        assert not found.unobserved


def _dense(weight: float, size: int = 8) -> ir.Model:
    generator = np.random.default_rng(0)
    constants = {"w": (generator.standard_normal((size, size)) * weight).astype(np.float32)}
    return _model([helper.make_node("MatMul", ["x", "w"], ["y"], "m")], [1, size], constants, rank=2)


def test_a_fault_on_a_device_is_named() -> None:
    """The device runs another weight than is meant."""
    _needs("c-cortex-m4")
    meant, other = _dense(1.0), _dense(1.0)
    value = other.graph.initializers["w"]
    assert value.const_value is not None
    changed = value.const_value.numpy().copy()
    changed[3, 5] *= 1.5
    value.const_value = ir.tensor(changed, name="w")
    found = verify(meant, other, backend="c-cortex-m4", synthetic=3)
    (defect,) = found.defects
    assert defect.tensor == "y"
    assert verify(meant, _dense(1.0), backend="c-cortex-m4", synthetic=3).ok


def test_a_network_that_does_not_fit_is_refused() -> None:
    _needs("c-cortex-m0")
    with pytest.raises(
        UnsupportedError, match=r"cortex-m0 has \d+ bytes of flash, the network takes \d+: \d+ too many"
    ):
        verify(_dense(1.0, 1024), backend="c-cortex-m0", synthetic=1)


def test_an_unknown_device_offers_the_nearest(exported: Exported, run_cli: RunCli) -> None:
    done = run_cli("verify", exported("lenet5"), "--backend", "c-cortex-m99", "--data", "mnist:test:1")
    assert done.exit_code == 2
    assert "did you mean 'c-cortex-m" in done.stderr
