"""Faults of integer regions: QDQ as it is fused, and QLinearConv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.toolchain.planting import Array, Change, Node, Sketch, attribute, cause_of, constant, evaluated, planted
from toolchain.ops.exact import requantize
from toolchain.verify.cause import Cause


def qdq(tail: str = "", zero: int = 3, seed: int = 11) -> Sketch:
    """A convolution between integers, as a runtime fuses it: x, w and y are int8, the bias is int32."""
    draw = np.random.default_rng(seed)
    constants: dict[str, Any] = {
        "sx": np.float32(0.02),
        "zx": np.int8(zero),
        "w": draw.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8),
        "sw": (0.004 + 0.004 * draw.random(6)).astype(np.float32),
        "zw": np.zeros(6, np.int8),
        "b": draw.integers(-4000, 4000, 6).astype(np.int32),
        "sy": np.float32(0.06),
        "zy": np.int8(-5),
    }
    constants["sb"] = (constants["sx"] * constants["sw"]).astype(np.float32)
    nodes: list[Node] = [
        ("DequantizeLinear", ["x", "sx", "zx"], "xf", {}),
        ("DequantizeLinear", ["w", "sw", "zw"], "wf", {"axis": 0}),
        ("DequantizeLinear", ["b", "sb"], "bf", {"axis": 0}),
        ("Conv", ["xf", "wf", "bf"], "c", {"pads": [1, 1, 1, 1]}),
    ]
    if tail:
        nodes.append((tail, ["c"], "a", {}))
    nodes.append(("QuantizeLinear", ["a" if tail else "c", "sy", "zy"], "y", {}))
    return Sketch(tuple(nodes), {"x": draw.integers(-128, 128, (2, 3, 12, 12)).astype(np.int8)}, constants)


def qlinear(seed: int = 12) -> Sketch:
    """The same in one node."""
    draw = np.random.default_rng(seed)
    constants: dict[str, Any] = {
        "sx": np.float32(0.02),
        "zx": np.uint8(130),
        "w": draw.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8),
        "sw": np.float32(0.005),
        "zw": np.int8(0),
        "sy": np.float32(0.06),
        "zy": np.uint8(120),
        "b": draw.integers(-4000, 4000, 6).astype(np.int32),
    }
    node = ("QLinearConv", ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"], "y", {"pads": [1, 1, 1, 1]})
    return Sketch((node,), {"x": draw.integers(0, 256, (2, 3, 12, 12)).astype(np.uint8)}, constants)


def _fused() -> Sketch:
    return qdq("Relu")


SKETCHES: dict[str, Callable[[], Sketch]] = {"qdq": qdq, "qdq+Relu": _fused, "qlinear": qlinear}
ALL = pytest.mark.parametrize("sketch", [f() for f in SKETCHES.values()], ids=list(SKETCHES))


def shifted(by: int) -> Callable[[Array], Array]:
    return lambda zero: (zero.astype(np.int64) + by).astype(zero.dtype)


@ALL
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (constant("zx", shifted(1)), "zero point"),
        (constant("zx", shifted(-3)), "zero point"),
        (constant("zy", shifted(1)), "zero point"),
        (constant("zy", shifted(5)), "zero point"),
        (constant("sy", lambda s: s * np.float32(1.1)), "scale"),
        (constant("sy", lambda s: s * np.float32(0.5)), "scale"),
        (constant("sw", lambda s: s * np.float32(1.05)), "scale"),
        (constant("b", np.zeros_like), "bias missing"),
        (constant("b", lambda b: b * 2), "bias scale"),
        (constant("w", lambda w: w[:, :, ::-1, ::-1]), "kernel order"),
        (constant("w", lambda w: w[:, ::-1]), "channel order"),
        (constant("w", lambda w: w.swapaxes(2, 3)), "kernel order"),
    ],
)
def test_constants(sketch: Sketch, change: Change, kind: str) -> None:
    cause = planted(sketch, change)
    assert cause.kind == kind, cause
    assert cause.explained > 0.9


@ALL
@pytest.mark.parametrize("pads", [[0, 0, 2, 2], [2, 1, 0, 1], [0, 0, 0, 0]])
def test_pads(sketch: Sketch, pads: list[int]) -> None:
    node = "c" if len(sketch.nodes) > 1 else "y"
    assert planted(sketch, attribute(node, pads=pads)).kind == "pad"


@ALL
@pytest.mark.parametrize(("position", "number"), [(0, 7), (40, 6), (100, 5), (161, 4)])
def test_one_bit_of_an_integer_weight(sketch: Sketch, position: int, number: int) -> None:
    def flip(w: Array) -> Array:
        w.reshape(-1).view(np.uint8)[position] ^= np.uint8(1 << number)
        return w

    cause = planted(sketch, constant("w", flip))
    assert cause.kind == "weight", cause
    assert str([int(i) for i in np.unravel_index(position, (6, 3, 3, 3))]) in cause.detail
    assert f"bit {number} flipped" in cause.detail


def quotients(sketch: Sketch) -> Array:
    """What the last node rounds."""
    s = sketch.constants
    if len(sketch.nodes) > 1:
        before = Sketch(sketch.nodes[:-1], sketch.data, sketch.constants, sketch.nodes[-1][1][0])
        return evaluated(before.proto(), sketch.data, before.output).astype(np.float64) / float(s["sy"])
    inner = Sketch(
        (("Conv", ["x", "w", "b"], "y", {"pads": [1, 1, 1, 1]}),),
        {"x": (sketch.data["x"].astype(np.float32) - float(s["zx"]))},
        {"w": s["w"].astype(np.float32), "b": s["b"].astype(np.float32)},
    )
    sums = evaluated(inner.proto(), inner.data, "y").astype(np.float64)
    return sums * float(s["sx"]) * float(s["sw"]) / float(s["sy"])


def rounded(sketch: Sketch, function: Callable[[Array], Array]) -> Cause:
    zero = sketch.constants["zy"]
    return cause_of(sketch, requantize(function(quotients(sketch)), zero, zero.dtype))


@ALL
@pytest.mark.parametrize(("function", "words"), [(np.floor, "floor"), (np.trunc, "truncation"), (np.ceil, "ceiling")])
def test_rounding_that_is_not_to_nearest(sketch: Sketch, function: Callable[[Array], Array], words: str) -> None:
    cause = rounded(sketch, function)
    assert cause.kind == "rounding", cause
    if "Relu" not in sketch.nodes[-2 if len(sketch.nodes) > 1 else 0][0]:
        assert words in cause.detail


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda q: np.floor(q + 0.5), "half up"),
        (lambda q: np.copysign(np.floor(np.abs(q) + 0.5), q), "half away"),
    ],
)
@pytest.mark.parametrize("scale", [0.25, 0.0625])
def test_ties_that_are_rounded_away(function: Callable[[Array], Array], words: str, scale: float) -> None:
    x = (np.arange(-400, 400) * scale / 2).astype(np.float32).reshape(1, 1, 20, 40)
    node: Node = ("QuantizeLinear", ["x", "s", "z"], "y", {})
    sketch = Sketch((node,), {"x": x}, {"s": np.float32(scale), "z": np.int8(1)})
    cause = cause_of(sketch, requantize(function(x.astype(np.float64) / scale), np.int8(1), np.dtype(np.int8)))
    assert cause.kind == "rounding", cause
    assert words in cause.detail


@ALL
def test_results_that_wrap(sketch: Sketch) -> None:
    zero = sketch.constants["zy"]
    wide = Sketch(sketch.nodes, sketch.data, {**sketch.constants, "sy": np.float32(0.02)})
    plain = (np.rint(quotients(wide)) + float(zero)).astype(np.int64)
    cause = cause_of(wide, plain.astype(zero.dtype))
    assert cause.kind == "saturation", cause
    low, high = np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max
    narrow = cause_of(wide, np.clip(plain, low + 1, high // 2).astype(zero.dtype))
    assert narrow.kind == "saturation", narrow


@pytest.mark.parametrize("build", [qdq, qlinear])
def test_pairs_that_saturate(build: Callable[[], Sketch]) -> None:
    sketch = build()
    bright = {"x": np.full_like(sketch.data["x"], np.iinfo(sketch.data["x"].dtype).max)}
    heavy = {**sketch.constants, "w": np.abs(sketch.constants["w"] // 2) + np.int8(64), "sy": np.float32(2.0)}
    loud = Sketch(sketch.nodes, bright, heavy)
    w = heavy["w"].astype(np.float64).reshape(6, 27)
    padded = np.pad(np.full((2, 3, 12, 12), 255.0), ((0, 0), (0, 0), (1, 1), (1, 1)))
    if "zx" in heavy:
        zero = float(heavy["zx"]) + (128.0 if heavy["zx"].dtype == np.int8 else 0.0)
        padded = np.pad(np.full((2, 3, 12, 12), 255.0), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=zero)
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    columns = view.transpose(0, 2, 3, 1, 4, 5).reshape(2, 12, 12, 1, 27) * w
    pairs = np.pad(columns, [(0, 0)] * 4 + [(0, 1)])
    pairs = pairs[..., 0::2] + pairs[..., 1::2]
    lost = (np.clip(pairs, -32768, 32767) - pairs).sum(-1).transpose(0, 3, 1, 2)
    unit = float(heavy["sx"]) * heavy["sw"].astype(np.float64).reshape(-1, *(1,) * 2 * (heavy["sw"].size > 1))
    quotient = quotients(loud) + lost * unit / 2.0
    cause = cause_of(loud, requantize(np.rint(quotient), heavy["zy"], heavy["zy"].dtype))
    assert cause.kind == "saturation", cause
    assert "16 bits" in cause.detail
