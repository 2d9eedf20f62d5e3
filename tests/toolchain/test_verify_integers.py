"""How a runtime's integers differ from the exact ones: ties, saturation, wrong fusions, and what nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from tests.conftest import Exported
from tests.graphs.sketch import Graph, Sketch
from toolchain.quantize.rewrite import Scheme
from toolchain.shapes import infer
from toolchain.verify.deviation import Deviations
from toolchain.verify.integers import IntegerJudge
from toolchain.verify.kernels import EXACT, Kernel
from toolchain.verify.saturation import lost

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

Array = NDArray[Any]
F32 = np.float32
ROUNDOFF = 2.0**-24


def conv(scale: float, out: float, q: Array, weight: Array) -> tuple[Graph, str, str]:
    """Integers, a Conv, integers: the graph and the names of both tensors of integers."""
    sketch = Sketch(17, {"x": q.astype(F32)}, barred=lambda _: False)
    unit, zero, byte = sketch.constant(F32(1)), sketch.constant(np.int8(0)), sketch.constant(np.uint8(0))
    quantized = sketch.add("QuantizeLinear", ["x", unit, byte])
    x = sketch.add("DequantizeLinear", [quantized, unit, byte])
    w = sketch.add("DequantizeLinear", [sketch.constant(weight.astype(np.int8)), sketch.constant(F32(scale)), zero])
    made = sketch.add("Conv", [x, w])
    y = sketch.add("QuantizeLinear", [made, sketch.constant(F32(out)), zero])
    assert quantized is not None
    assert y is not None
    sketch.add("DequantizeLinear", [y, sketch.constant(F32(out)), zero])
    return sketch.finish(), quantized, y


def judge(graph: Graph, kernels: Mapping[str, Kernel]) -> IntegerJudge:
    model = ir.from_proto(graph.proto)
    return IntegerJudge(model, kernels, ROUNDOFF, infer(model))


def classified(kernel: str, received: int, acc: int, scale: float, out: float) -> Deviations:
    """One accumulator through one kernel."""
    q = np.array([acc % 128, acc // 128]).reshape(1, 2, 1, 1)
    graph, x, y = conv(scale, out, q, np.array([1, 127]).reshape(1, 2, 1, 1))
    found = judge(graph, {x: Kernel("QuantizeLinear"), y: Kernel(kernel)})
    total = int(q[0, 0, 0, 0]) + 127 * int(q[0, 1, 0, 0])
    assert total == acc - acc // 128
    tensors = {x: q.astype(np.uint8), y: np.array([received], np.int8).reshape(1, 1, 1, 1)}
    found.judge(y, tensors)
    return found.found[y]


@pytest.mark.parametrize(("received", "kind"), [(2, ""), (3, "tie"), (1, "unknown"), (4, "unknown")])
def test_a_tie_may_go_to_either_side(received: int, kind: str) -> None:
    counts = classified("QLinearConv", received, 5, 1.0, 2.0)  # 2.5: to even
    assert counts.counts() == (f"1 {kind}" if kind else "none")
    assert counts.elements == 1


def test_near_a_tie_is_only_within_the_float_error() -> None:
    scale = F32(1.0 + 2.0**-22)  # 5 scale / 2 = 2.5 + 5 * 2^-23 lies 4 roundoffs of it away, within 5 roundings
    assert classified("QLinearConv", 2, 5, float(scale), 2.0).tie == 1
    further = F32(1.0 + 2.0**-20)
    assert classified("QLinearConv", 2, 5, float(further), 2.0).unknown == 1


def test_code_that_promises_the_exact_integers_has_no_ties() -> None:
    assert classified(EXACT, 3, 5, 1.0, 2.0).unknown == 1
    assert classified(EXACT, 2, 5, 1.0, 2.0).total == 0


def test_pairs_are_cut_off_at_16_bits() -> None:
    columns = np.array([[255, 255, 255, 0, 1]])
    weights = np.array([[127, 127, -128, -128, 127], [64, 64, 64, 64, 64], [-128, -128, 127, 127, 0]], np.int8)
    np.testing.assert_array_equal(lost(columns, weights), [[32767 - 2 * 255 * 127, 0, -32768 + 2 * 255 * 128]])


@pytest.mark.parametrize(("received", "kind"), [(64, "saturation"), (65, "unknown"), (126, "unknown")])
def test_saturation_has_to_give_the_received_integer(received: int, kind: str) -> None:
    q = np.full((1, 2, 1, 1), 255)
    graph, x, y = conv(1.0, 512.0, q, np.full((1, 2, 1, 1), 127))  # 64,770 / 512 = 126.5; 32,767 / 512 = 63.998
    found = judge(graph, {x: Kernel("QuantizeLinear"), y: Kernel("QLinearConv")})
    found.judge(y, {x: q.astype(np.uint8), y: np.full((1, 1, 1, 1), received, np.int8)})
    assert found.found[y].counts() == f"1 {kind}"
    assert "expected 127" in found.found[y].example
    assert f"received {received}" in found.found[y].example


def test_a_changed_scale_is_a_wrong_fusion_and_what_follows_is_read_at_it() -> None:
    q = np.array([7, 100]).reshape(1, 2, 1, 1)
    graph, x, y = conv(1.0, 2.0, q, np.array([1, 0]).reshape(1, 2, 1, 1))
    theirs = {x: Kernel("QuantizeLinear", 0.5, 3), y: Kernel("QLinearConv", 2.0, 0, signed=True)}
    found = judge(graph, theirs)
    tensors = {"x": q.astype(F32), x: (2 * q + 3).astype(np.uint8), y: np.full((1, 1, 1, 1), 4, np.int8)}
    found.observe(tensors)
    assert found.found[x].counts() == "2 wrong fusion"
    assert found.found[y].total == 0  # (2 * 7 + 3 - 3) * 0.5 / 2 = 3.5: to even


def test_a_region_without_an_exact_value_says_why() -> None:
    sketch = Sketch(17, {"x": np.arange(4, dtype=F32)}, barred=lambda _: False)
    unit, zero = sketch.constant(F32(1)), sketch.constant(np.int8(0))
    quantized = sketch.add("QuantizeLinear", ["x", unit, zero])
    erf = sketch.add("Erf", [sketch.add("DequantizeLinear", [quantized, unit, zero])])
    y = sketch.add("QuantizeLinear", [erf, sketch.constant(F32(0.01)), zero])
    assert quantized is not None
    assert y is not None
    found = judge(sketch.finish(), {quantized: Kernel("QuantizeLinear"), y: Kernel("QuantizeLinear")})
    integers = np.arange(4, dtype=np.int8)
    found.observe({"x": integers.astype(F32), quantized: integers, y: integers})
    told = found.result(y)
    assert told is not None
    assert "(Erf) is not exact: the operator has no exact rule" in told.island
    assert found.result(quantized) == Deviations(elements=4)


def test_counts_add_up() -> None:
    total = Deviations(10, 1, 2, 3, 4, "first") + Deviations(5, 1, 0, 0, 0, "second")
    assert (total.elements, total.total, total.wrong, total.example) == (15, 11, 9, "first")
    assert total.counts() == "2 tie, 2 saturation, 3 wrong fusion, 4 unknown"


@pytest.mark.parametrize("reduce_range", [True, False])
def test_no_deviation_of_a_trained_network_is_unknown(exported: Exported, reduce_range: bool) -> None:
    from toolchain.data import samples
    from toolchain.load import load
    from toolchain.quantize.static import convert
    from toolchain.verify.census import census

    model = load(exported("lenet5", batch="dynamic"))
    quantized = convert(model, samples(model, "mnist:train:64"), Scheme(reduce_range=reduce_range))
    found = census(quantized, samples(model, "mnist:test:16"))
    for level, by_tensor in found.items():
        counts = sum(by_tensor.values(), Deviations())
        assert counts.elements == 16 * 15746, level
        assert counts.unknown == counts.fusion == 0, level
        assert counts.tie > 0, level
        assert not (reduce_range or level in ("off", "basic")) or counts.saturation == 0, level


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["7 bits", "full range"])
@pytest.mark.parametrize("network", ["lenet5", "lenet5-relu", "example-cnn"])
def test_no_deviation_over_the_whole_test_set_is_unknown(network: str, weights: str, tmp_path: Path) -> None:
    from benchmarks.deviations import measure

    for count in measure(network, weights, 10_000, tmp_path):
        assert count.samples == 10_000
        assert count.found.unknown == count.found.fusion == 0, count.found.describe()
        assert weights == "full range" or count.found.saturation == 0
