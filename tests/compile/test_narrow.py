"""Sums of 16 bits: where they hold every product, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.compile.running import quickly_judged
from tests.compile.test_exact_wide import NATIVE
from toolchain.compile.kernels import wide
from toolchain.compile.kernels.wide import NARROW_SUM, SPAN, quads_together
from toolchain.load import read

VALUES = 255
"""The largest value of a tile, which holds int8 plus 128."""


def test_the_limit_is_that_of_16_bits() -> None:
    assert VALUES * NARROW_SUM <= np.iinfo(np.int16).max < VALUES * (NARROW_SUM + 1)
    assert np.iinfo(np.int16).min <= -VALUES * NARROW_SUM


def _block(quads: int) -> np.ndarray:
    return np.zeros((1, 1, quads, 16, 4), np.int8)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("quads", [1, 2, 3, SPAN, SPAN + 1, 3 * SPAN - 1])
def test_one_channel_decides(quads: int, lane: int, sign: int) -> None:
    """Taps of one sign count, in the half of a quad that an instruction adds."""
    blocks = _block(quads)
    spans = -(-quads // SPAN)
    last = quads - 1
    blocks[0, 0, last, 5, 2 * lane : 2 * lane + 2] = (sign * 64, sign * 64)
    blocks[0, 0, last, 5, 2 - 2 * lane : 4 - 2 * lane] = (-sign * 64, sign * 64)
    assert (quads_together(blocks) == [2] * spans).all()
    if last % 2:
        blocks[0, 0, last - 1, 5, 2 * lane] = -sign
        assert (quads_together(blocks) == [2] * spans).all()
        blocks[0, 0, last - 1, 5, 2 * lane + 1] = sign
        assert (quads_together(blocks) == [2] * (spans - 1) + [1]).all()
    blocks[0, 0, last, 5, 2 * lane] = sign * 65
    assert quads_together(blocks) is None


def test_quads_of_two_pairs_do_not_meet() -> None:
    blocks = _block(4)
    blocks[0, 0, 1:3, 0, :2] = 64
    assert (quads_together(blocks) == [2]).all()


def dense(weights: np.ndarray, step: float) -> ir.Model:
    """A dense layer of integers; ``step`` is the difference of sums that makes one of outputs."""
    outputs, taps = weights.shape
    constants = {
        "s": np.float32(1),
        "z": np.int8(0),
        "w": weights,
        "ws": np.ones(outputs, np.float32),
        "wz": np.zeros(outputs, np.int8),
        "ys": np.float32(step),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["b"], axis=0),
        helper.make_node("Gemm", ["a", "b"], ["c"], "dense", transB=1),
        helper.make_node("QuantizeLinear", ["c", "ys", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("image", onnx.TensorProto.INT8, [1, taps])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT8, [1, outputs])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return read(proto.SerializeToString(), "dense")


def cases() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    taps = 4 * (2 * SPAN + 3)
    signs = np.where(np.arange(18) % 2, -1, 1).astype(np.int8)[:, None] * np.ones(taps, np.int8)
    halves = 64 * signs
    halves[:, 4 * SPAN :] //= 2
    return {
        "single": 64 * signs,
        "pairs": 32 * signs,
        "mixed": halves,
        "none": 127 * signs,
        "edges": generator.choice(np.array([-64, -1, 0, 1, 63, 64], np.int8), (33, taps - 3)),
    }


INPUTS = (127, -128, -1, 0, 1)


@pytest.mark.parametrize("case", list(cases()))
def test_sums_at_their_limits(case: str, tmp_path: Path) -> None:
    if "avx2" not in NATIVE.split():
        pytest.skip("this processor has no avx2")
    weights = cases()[case]
    taps = weights.shape[1]
    model = dense(weights, np.abs(weights.astype(int)).sum(axis=1).max())
    given = [{"image": np.full((1, taps), value, np.int8)} for value in INPUTS]
    given.append({"image": np.random.default_rng(1).choice(np.array(INPUTS, np.int8), (1, taps))})
    verdict = quickly_judged(model, given, tmp_path / "c", ("-O2", "-mavx2"), fused=True, wide=True)
    assert verdict.ok, verdict.layers


def test_a_limit_that_is_one_too_high_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "avx2" not in NATIVE.split():
        pytest.skip("this processor has no avx2")
    monkeypatch.setattr(wide, "NARROW_SUM", NARROW_SUM + 1)
    weights = np.zeros((16, 8), np.int8)
    weights[:, :2] = (64, 65)
    given = [{"image": np.full((1, 8), 127, np.int8)}]
    verdict = quickly_judged(dense(weights, 130.0), given, tmp_path / "c", ("-O2", "-mavx2"), fused=True, wide=True)
    assert not verdict.ok
