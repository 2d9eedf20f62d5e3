"""Certificates of what a runtime makes of a graph: fused nodes as what they compute, short types as they are summed."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from toolchain.cli.verify import render
from toolchain.load import read
from toolchain.ops.bounds import Bound
from toolchain.plain import certificate
from toolchain.verify import Verification
from toolchain.verify.arithmetic import BFLOAT16, FLOAT16, FLOAT32, TF32
from toolchain.verify.limits import limits, unlimited
from toolchain.verify.observe import Observation, OnnxRuntimeBackend
from toolchain.verify.regions import cut
from toolchain.verify.survivors import Survivor
from toolchain.verify.tally import Tally
from toolchain.verify.widened import computed_in_float32, rounded_to

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

Array = NDArray[Any]
module = importlib.import_module("toolchain.verify.verify")
RNG = np.random.default_rng(7)


def model(
    nodes: list[onnx.NodeProto],
    shape: tuple[int, ...],
    answer: tuple[int, ...],
    constants: dict[str, Array],
    kind: int = TensorProto.FLOAT,
) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, answer)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return read(proto.SerializeToString(), "made")


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def fused(kind: str) -> ir.Model:
    """Conv with what a runtime takes into it."""
    constants = {"w": normal(16, 16, 3, 3) * np.float32(0.1), "b": normal(16)}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1])]
    if kind == "bn":
        constants |= {"s": np.abs(normal(16)) + np.float32(0.5), "o": normal(16), "m": normal(16)}
        constants["v"] = np.abs(normal(16)) + np.float32(0.1)
        nodes.append(helper.make_node("BatchNormalization", ["c", "s", "o", "m", "v"], ["y"], "bn"))
    elif kind == "mul":
        constants["f"] = np.abs(normal(16, 1, 1)) + np.float32(0.5)
        nodes.append(helper.make_node("Mul", ["c", "f"], ["y"], "mul"))
    elif kind == "bn+relu":
        constants |= {"s": np.abs(normal(16)), "o": normal(16), "m": normal(16), "v": np.abs(normal(16)) + 1}
        nodes.append(helper.make_node("BatchNormalization", ["c", "s", "o", "m", "v"], ["n"], "bn"))
        nodes.append(helper.make_node("Relu", ["n"], ["y"], "act"))
    elif kind == "residual":
        nodes.append(helper.make_node("Add", ["c", "x"], ["a"], "add"))
        nodes.append(helper.make_node("Relu", ["a"], ["y"], "act"))
    elif kind == "clip":
        constants |= {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
        nodes.append(helper.make_node("Clip", ["c", "low", "high"], ["y"], "act"))
    else:
        nodes.append(helper.make_node(kind, ["c"], ["y"], "act"))
    return model(nodes, (1, 16, 12, 12), (1, 16, 12, 12), constants)


def judged(
    monkeypatch: pytest.MonkeyPatch, given: ir.Model, plant: Callable[[str, Array], Array] | None = None, **options: Any
) -> Verification:
    """A certificate, of a runtime whose tensors may have been tampered with."""

    class Planted(OnnxRuntimeBackend):
        def observe(self, feeds: Any) -> Observation:
            seen = super().observe(feeds)
            return Observation({n: plant(n, a) if plant else a for n, a in seen.tensors.items()}, seen.same)

    monkeypatch.setattr(module, "OnnxRuntimeBackend", Planted)
    return module.verify(given, **{"synthetic": 2, "end_to_end": False, **options})


KINDS = ("bn", "mul", "bn+relu", "residual", "clip", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid")


@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_fused_nodes_are_certified_as_what_they_compute(
    monkeypatch: pytest.MonkeyPatch, kind: str, optimization: str
) -> None:
    found = judged(monkeypatch, fused(kind), optimization=optimization)
    assert found.ok, [r.describe() for r in found.defects]
    assert not found.suspects, [r.describe() for r in found.suspects]
    assert any(r.sound_ratio > 0 for r in found.regions)
    if optimization == "all":
        # The graph's own input is not blocked by channels, so that nothing adds it inside the convolution.
        assert len(found.regions) == (3 if kind == "residual" else 1)
        assert any(operator.startswith("com.microsoft.nchwc.Conv") for operator in found.running)
    (sums,) = [r for r in found.regions if "Conv" in r.operators]
    assert sums.distribution is not None, "it is opened for the tests on the distribution"
    assert sums.distribution.elements > 1000


@pytest.mark.parametrize("optimization", ["off", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_value_just_beyond_its_limit_is_caught_and_one_just_within_is_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, optimization: str
) -> None:
    given = fused(kind)
    clean = judged(monkeypatch, given, optimization=optimization, synthetic=1)
    (region,) = [r for r in clean.regions if "Conv" in r.operators]
    assert region.worst is not None
    at, worst = region.worst.index, region.worst
    assert worst.sound > 0

    def plant(factor: float) -> Callable[[str, Array], Array]:
        def change(name: str, array: Array) -> Array:
            if name != region.tensor:
                return array
            moved = array.copy()
            moved[at] = np.float32(worst.expected + factor * worst.sound)
            return moved

        return change

    beyond = judged(monkeypatch, given, plant(1.1), optimization=optimization, synthetic=1)
    assert beyond.defects[0].tensor == region.tensor, "nodes behind it may show the planted value too"
    assert beyond.defects[0].worst is not None
    assert beyond.defects[0].worst.index == at
    within = judged(monkeypatch, given, plant(0.9), optimization=optimization, synthetic=1)
    assert region.tensor not in {r.tensor for r in within.defects}


@pytest.mark.parametrize("kind", ["bn", "mul", "bn+relu", "Relu", "Sigmoid"])
def test_a_small_fault_of_one_folded_weight_is_suspected(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    given = fused(kind)
    other = ir.from_proto(ir.to_proto(given))
    value = other.graph.initializers["w"]
    array = value.const_value.numpy().copy()
    tap = int(np.abs(array[3]).argmax())
    array[3].flat[tap] *= np.float32(1.00005)
    value.const_value = ir.tensor(array, name="w")
    found = judged(monkeypatch, given, other=other, synthetic=16)
    assert not found.defects, "far within the sound limit"
    (suspect,) = found.suspects
    assert suspect.distribution is not None
    systematic = suspect.distribution.systematic
    assert systematic is not None
    assert (systematic.kind, systematic.channel, systematic.tap) == ("weight", 3, tap)
    assert suspect.cause is not None
    assert suspect.cause.kind == "weight"


def half(terms: int, operator: str = "MatMul") -> ir.Model:
    w = (normal(terms, 8) * np.float32(0.05)).astype(np.float16)
    nodes = [helper.make_node(operator, ["x", "w"], ["y"], "product")]
    return model(nodes, (4, terms), (4, 8), {"w": w}, TensorProto.FLOAT16)


@pytest.mark.parametrize("optimization", ["off", "all"])
@pytest.mark.parametrize("terms", [3, 2047, 2048, 6000])
def test_float16_sums_that_run_in_float32_have_a_finite_limit(
    monkeypatch: pytest.MonkeyPatch, terms: int, optimization: str
) -> None:
    found = judged(monkeypatch, half(terms), synthetic=4, optimization=optimization)
    (region,) = found.regions
    assert found.ok
    assert region.status == "ok"
    assert region.unlimited == 0
    assert region.worst is not None
    assert np.isfinite(region.worst.sound)
    assert 0 < region.sound_ratio <= 1

    def wrong(name: str, array: Array) -> Array:
        moved = array.copy()
        moved[0, 0] += np.float16(0.05) * (1 + np.abs(moved[0, 0])) * np.float16(max(1.0, terms / 500))
        return moved

    assert judged(monkeypatch, half(terms), wrong, synthetic=4, optimization=optimization).defects


def test_a_region_without_a_limit_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("toolchain.verify.observe"), "computed_in_float32", lambda *_: {})
    found = judged(monkeypatch, half(6000), lambda _, a: a * np.float16(3), synthetic=4)
    assert not found.ok
    assert not found.defects
    (region,) = found.vacuous
    assert region.status == "vacuous"
    assert region.unlimited == region.unproved == region.elements
    assert "not certified" in region.describe()
    assert found.to_dict()["regions"][0]["status"] == "vacuous"
    console = Console(width=400, file=io.StringIO())
    console.print(render(found))
    assert "vacuous" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "not certified" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "not certified" in certificate(found)


def test_what_runs_in_float32_is_read_from_the_graph_that_runs() -> None:
    def running(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
        info = [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [2])]
        return helper.make_model(helper.make_graph(nodes, "g", info, [onnx.ValueInfoProto(name="y")]))

    def cast(source: str, target: str, to: int) -> onnx.NodeProto:
        return helper.make_node("Cast", [source], [target], to=to)

    watched = [Survivor("y", "y")]
    up = cast("x", "wide", TensorProto.FLOAT)
    one = helper.make_node("Relu", ["wide"], ["r"])
    down = cast("r", "y", TensorProto.FLOAT16)
    assert computed_in_float32(running([up, one, down]), watched) == {"y": FLOAT16}
    native = helper.make_node("Relu", ["x"], ["y"])
    assert computed_in_float32(running([native]), watched) == {}
    before = [helper.make_node("Relu", ["x"], ["h"]), cast("h", "wide", TensorProto.FLOAT), one, down]
    assert computed_in_float32(running(before), watched) == {}, "its first node is summed in float16"
    assert computed_in_float32(running(before), [*watched, Survivor("h", "h")]) == {"y": FLOAT16}
    twice = [up, cast("wide", "h", TensorProto.FLOAT16), cast("h", "w2", TensorProto.FLOAT)]
    twice += [helper.make_node("Relu", ["w2"], ["r"]), down]
    assert computed_in_float32(running(twice), watched) == {}, "rounded on the way"


def test_rounding_once_more_widens_by_one_roundoff_and_ends_at_the_largest_number() -> None:
    exact = np.array([0.0, 1.0, 65000.0, 70000.0])
    bound = Bound(np.full(4, 0.25), np.full(4, 0.125))
    sound = rounded_to(bound, exact, FLOAT16).sound
    assert sound[0] == 0.25 + 2.0**-11 * 0.25 + 2.0**-25
    assert sound[1] == 0.25 + 2.0**-11 * 1.25 + 2.0**-25
    assert np.isfinite(sound[2])
    assert np.isinf(sound[3])


def test_infinite_limits_count_unless_the_value_is_the_nearest() -> None:
    expected = np.array([1.0, 2.0, 1e39, 4.0])
    received = np.array([1.0, 2.5, np.inf, 5.0], dtype=np.float32)
    assert unlimited(received, expected, bounded(np.full(4, np.inf))) == (4, 2)
    assert unlimited(received, expected, bounded(np.array([np.inf, 1.0, np.inf, 2.0]))) == (2, 0)
    assert unlimited(np.ones(3, np.int8), np.array([1, 2, 3], np.int8), bounded(np.array(np.inf))) == (3, 2)
    assert unlimited(np.ones(2, np.bool_), np.zeros(2, np.bool_), bounded(np.array(np.inf))) == (0, 0)


def bounded(sound: Any, span: Any = np.inf) -> Bound:
    return Bound(sound, sound, span)


def test_a_limit_that_admits_the_whole_range_says_nothing() -> None:
    expected = np.array([0.5, 0.5, 0.5, 0.5])
    received = np.array([0.5, 0.75, 0.75, 0.75], np.float32)
    sound, span = np.array([0.5, 0.5, 0.49, 0.1]), np.array([0.5, 0.5, 0.5, 0.0])
    # One value alone can come out of the last: a limit on it is one, however wide.
    assert unlimited(received, expected, bounded(sound, span)) == (2, 1)


@pytest.mark.parametrize("arithmetic", [TF32, BFLOAT16], ids=lambda a: a.name)
def test_short_factors_have_a_finite_limit_for_any_number_of_terms(arithmetic: Any) -> None:
    """``gamma_n`` of their roundoff is infinite from 2,048 terms on (256 of bfloat16); the sums are in float32."""
    terms = 5000
    made = model(
        [helper.make_node("Gemm", ["x", "w"], ["y"], "g")],
        (8, terms),
        (8, 8),
        {"w": normal(terms, 8) / np.float32(terms**0.5)},
    )
    reference = module.Reference(made)
    (region,) = cut(reference.steps, reference.constants, {"x", "y"})
    x = normal(8, terms)
    for mode in ("nearest", "truncated"):
        w = arithmetic.rounded(reference.constants["w"], mode)
        y = (arithmetic.rounded(x.astype(np.float64), mode).astype(np.float32) @ w.astype(np.float32)).astype(
            np.float32
        )
        value, bound = limits(region, reference.constants, {"x": x, "y": y}, {}, arithmetic=arithmetic)
        assert np.isfinite(bound.sound).all()
        assert (np.abs(y - value) <= bound.sound).all()
        _, strict = limits(region, reference.constants, {"x": x, "y": y}, {}, arithmetic=FLOAT32)
        assert (strict.sound < bound.sound).all()
        tally = Tally(region, arithmetic)
        tally.add(0, y, value, bound)
        assert tally.verdict().status == "ok"
