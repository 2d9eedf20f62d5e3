"""Layers of random quantized graphs, one function a kind: ``graphs`` draws from them."""

from __future__ import annotations

from math import prod

import numpy as np

from tests.compile.graphs import Sketch


def reach(sketch: Sketch) -> float:
    """About the largest value of the last tensor."""
    return 127 * float(sketch.scale)


def _same_or_not(sketch: Sketch) -> bool:
    return bool(sketch.generator.random() < 0.5)


def elementary(sketch: Sketch) -> None:
    op_type = str(sketch.pick(("Abs", "Neg", "Softplus", "ThresholdedRelu", "Exp", "Clip")))
    inputs = [sketch.last]
    if op_type == "Clip":
        inputs += [sketch.constant(np.asarray(np.float32(v))) for v in (-0.4, 1.7)]
    if op_type == "Exp" and reach(sketch) > 20:
        op_type, inputs = "Neg", [sketch.last]
    sketch.finish(sketch.node(op_type, inputs), 2.0 if op_type in ("Clip", "Exp") else reach(sketch))


def prelu(sketch: Sketch) -> None:
    shape = (sketch.shape[1], *(1,) * (len(sketch.shape) - 2)) if _same_or_not(sketch) else (1,)
    slopes = sketch.generator.choice([-0.5, 0.0, 0.25, 0.3, 1.0, 1.5], shape).astype(np.float32)
    sketch.finish(sketch.node("PRelu", [sketch.last, sketch.constant(slopes)]), reach(sketch))


def softmax(sketch: Sketch) -> None:
    axis = int(sketch.generator.integers(1, len(sketch.shape)))
    scale, zero = sketch.scale, sketch.zero
    name = sketch.node("Softmax", [sketch.last], axis=axis)
    sketch.scale = np.float32(sketch.pick((1 / 256, 1 / 255, 0.01, 1 / 128, 1 / 16)))
    sketch.zero = sketch.zero_point((-128, -128, -100, 0))
    del scale, zero
    sketch.last = sketch._quantized(name, sketch.scale, sketch.zero)


def pad(sketch: Sketch) -> None:
    mode = str(sketch.pick(("constant", "reflect", "edge", "wrap")))
    rank = len(sketch.shape)
    room = [min(size - 1, 2) for size in sketch.shape]
    begins = [
        0,
        0,
        *(
            int(sketch.generator.integers(-1 if n > 4 else 0, r + 1))
            for n, r in zip(sketch.shape[2:], room[2:], strict=True)
        ),
    ]
    ends = [0, 0, *(int(sketch.generator.integers(0, r + 1)) for r in room[2:])]
    if mode == "constant":
        begins[1] = int(sketch.pick((0, 0, 1)))
    inputs = [sketch.last, sketch.constant(np.array(begins + ends, np.int64))]
    if mode == "constant" and _same_or_not(sketch):
        inputs.append(sketch.constant(np.asarray(np.float32(sketch.pick((-100.0, -0.3, 0.0, 0.7, 100.0))))))
    sketch.shape = tuple(n + b + e for n, b, e in zip(sketch.shape, begins, ends, strict=True))
    assert rank == 4
    sketch.finish(sketch.node("Pad", inputs, mode=mode), reach(sketch), same=_same_or_not(sketch))


def resize(sketch: Sketch) -> None:
    coordinate = str(
        sketch.pick(("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners", "tf_half_pixel_for_nn"))
    )
    rounding = str(sketch.pick(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")))
    scales = np.array([1, 1, *(sketch.pick((0.5, 1, 1.5, 2, 3)) for _ in sketch.shape[2:])], np.float32)
    sizes = tuple(int(np.floor(n * s)) for n, s in zip(sketch.shape, scales, strict=True))
    if min(sizes) < 1:
        return
    sketch.shape = sizes
    name = sketch.node(
        "Resize",
        [sketch.last, "", sketch.constant(scales)],
        mode="nearest",
        coordinate_transformation_mode=coordinate,
        nearest_mode=rounding,
    )
    sketch.finish(name, reach(sketch), same=_same_or_not(sketch))


def conv_transpose(sketch: Sketch) -> None:
    channels, *spatial = sketch.shape[1:]
    groups = int(sketch.pick((1, 1, channels, 2 if channels % 2 == 0 else 1)))
    own = int(sketch.generator.integers(1, 4))
    kernel = [int(sketch.generator.integers(1, 4)) for _ in spatial]
    strides = [int(sketch.pick((1, 2, 2, 3))) for _ in spatial]
    dilations = [int(sketch.pick((1, 1, 2))) for _ in spatial]
    pads = [int(sketch.generator.integers(0, k)) for k in kernel * 2]
    extra = [int(sketch.generator.integers(0, s)) for s in strides]
    size = [
        s * (n - 1) + e + d * (k - 1) + 1 - pads[i] - pads[i + len(kernel)]
        for i, (n, s, d, k, e) in enumerate(zip(spatial, strides, dilations, kernel, extra, strict=True))
    ]
    if min(size) < 1 or prod(size) > 1500:
        return
    scales = sketch.generator.uniform(0.001, 0.02, own).astype(np.float32)
    values = sketch.integers((channels, own, *kernel))
    zeros = sketch.constant(np.zeros(own, np.int8))
    w = sketch.node("DequantizeLinear", [sketch.constant(values), sketch.constant(scales), zeros], axis=1)
    wide = np.tile(scales, groups)
    product = (wide.astype(np.float64) * np.float64(sketch.scale)).astype(np.float32)
    bias = sketch.generator.integers(-5000, 5000, own * groups).astype(np.int32)
    none = sketch.constant(np.zeros(own * groups, np.int32))
    b = sketch.node("DequantizeLinear", [sketch.constant(bias), sketch.constant(product), none], axis=0)
    name = sketch.node(
        "ConvTranspose",
        [sketch.last, w, b],
        group=groups,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=extra,
    )
    sketch.shape = (1, own * groups, *size)
    sketch.finish(
        name, max(60 * float(sketch.scale) * float(scales.mean()) * 70 * (channels // groups * 2) ** 0.5, 1e-3)
    )


def transpose(sketch: Sketch) -> None:
    order = [0, *(1 + int(i) for i in sketch.generator.permutation(len(sketch.shape) - 1))]
    sketch.shape = tuple(sketch.shape[i] for i in order)
    sketch.finish(sketch.node("Transpose", [sketch.last], perm=order), reach(sketch), same=_same_or_not(sketch))


def reshape(sketch: Sketch) -> None:
    """To other numbers of channels and positions, one of either; through five axes (a shuffle); flat and back."""
    shape = sketch.shape
    maps = ("turned", "shuffled", "flat", "unsqueezed", "one channel", "one position")
    kind = str(sketch.pick(maps if len(shape) > 2 else ("flat",)))
    size = prod(shape)
    if kind == "shuffled" and shape[1] % 2 == 0:
        split = (1, 2, shape[1] // 2, *shape[2:])
        steps = [("Reshape", split), ("Transpose", (0, 2, 1, *range(3, len(split)))), ("Reshape", shape)]
    elif kind == "flat":
        steps = [("Reshape", (1, size)), ("Reshape", shape)]
    elif kind == "unsqueezed":
        steps = [("Unsqueeze", (2,)), ("Squeeze", (2,))]
    elif kind == "one channel":
        steps = [("Reshape", (1, 1, shape[1] * shape[2], *shape[3:]))]
    elif kind == "one position":
        steps = [("Reshape", (1, size, *(1 for _ in shape[2:])))]
    else:
        factor = next((f for f in (2, 3, 5) if shape[-1] % f == 0), 1)
        steps = [("Reshape", (1, shape[1] * factor, *shape[2:-1], shape[-1] // factor))]
    for op_type, numbers in steps:
        if op_type == "Transpose":
            name = sketch.node(op_type, [sketch.last], perm=list(numbers))
        else:
            name = sketch.node(op_type, [sketch.last, sketch.constant(np.array(numbers, np.int64))])
        sketch.finish(name, reach(sketch), same=_same_or_not(sketch))
    if len(steps) == 1:
        sketch.shape = tuple(int(n) for n in steps[-1][1])


def slices(sketch: Sketch) -> None:
    """A part of an axis, in steps or backwards; or the halves of a Split, changed places."""
    axis = int(sketch.generator.integers(1, len(sketch.shape)))
    size = sketch.shape[axis]
    if size > 1 and _same_or_not(sketch):
        first = int(sketch.generator.integers(1, size))
        parts = sketch.constant(np.array([first, size - first], np.int64))
        name = f"split{len(sketch.nodes)}"
        from onnx import helper

        sketch.nodes.append(
            helper.make_node("Split", [sketch.last, parts], [f"{name}_a", f"{name}_b"], name, axis=axis)
        )
        scale, zero = sketch.scale, sketch.zero
        halves = [sketch._quantized(f"{name}_{part}", scale, zero) for part in "ba"]
        sketch.finish(sketch.node("Concat", halves, axis=axis), reach(sketch), same=_same_or_not(sketch))
        return
    start, end, step = [(0, size, 2), (1, size, 1), (-1, -(2**40), -1), (size, -size - 1, -2)][
        int(sketch.generator.integers(4)) if size > 1 else 0
    ]
    numbers = [sketch.constant(np.array([v], np.int64)) for v in (start, end, axis, step)]
    shape = list(sketch.shape)
    shape[axis] = len(range(size)[start:end:step])
    sketch.shape = tuple(shape)
    sketch.finish(sketch.node("Slice", [sketch.last, *numbers]), reach(sketch), same=_same_or_not(sketch))


def lrn(sketch: Sketch) -> None:
    numbers = {"alpha": float(sketch.pick((1e-4, 0.05, 2.0))), "beta": float(sketch.pick((0.75, 0.5, 1.0)))}
    name = sketch.node(
        "LRN", [sketch.last], size=int(sketch.generator.integers(1, 6)), bias=float(sketch.pick((1.0, 2.0))), **numbers
    )
    sketch.finish(name, reach(sketch))


def broadcast(sketch: Sketch) -> None:
    """With a constant on either side: one value or one a channel, of floats or of dequantized integers."""
    op_type = str(sketch.pick(("Add", "Sub", "Mul")))
    shape = [(), (1,), (1, sketch.shape[1], *(1,) * (len(sketch.shape) - 2))][int(sketch.generator.integers(3))]
    if _same_or_not(sketch):
        s, z = sketch.constant(np.asarray(np.float32(0.01))), sketch.constant(np.asarray(np.int8(3)))
        other = sketch.node("DequantizeLinear", [sketch.constant(sketch.integers(shape)), s, z])
    else:
        other = sketch.constant(sketch.generator.uniform(-1.5, 1.5, shape).astype(np.float32))
    pair = [sketch.last, other] if _same_or_not(sketch) else [other, sketch.last]
    sketch.finish(sketch.node(op_type, pair), reach(sketch) + 1.5)


def gate(sketch: Sketch) -> None:
    """A map combined with its own mean or maximum a channel, on either side."""
    x, scale, shape = sketch.last, sketch.scale, sketch.shape
    pool = str(sketch.pick(("GlobalAveragePool", "GlobalMaxPool", "ReduceMean")))
    if pool == "ReduceMean":
        name = sketch.node(pool, [x, sketch.constant(np.array([2, 3], np.int64))])
    else:
        name = sketch.node(pool, [x])
    sketch.finish(name, reach(sketch))
    own = reach(sketch)
    op_type = str(sketch.pick(("Mul", "Mul", "Add", "Sub")))
    pair = [x, sketch.last] if _same_or_not(sketch) else [sketch.last, x]
    sketch.shape = shape
    wide = 127 * float(scale)
    sketch.finish(sketch.node(op_type, pair), own * wide if op_type == "Mul" else own + wide)


def mean(sketch: Sketch) -> None:
    """The mean or maximum of height and width, without these axes."""
    op_type = str(sketch.pick(("ReduceMean", "ReduceMax")))
    name = sketch.node(op_type, [sketch.last, sketch.constant(np.array([-1, 2], np.int64))], keepdims=0)
    sketch.shape = sketch.shape[:2]
    sketch.finish(name, reach(sketch))


def normalization(sketch: Sketch) -> None:
    channels = sketch.shape[1]
    statistics = [
        sketch.constant(sketch.generator.uniform(low, high, channels).astype(np.float32))
        for low, high in ((-1, 1.5), (-1, 1), (-1, 1), (0.1, 3))
    ]
    sketch.finish(sketch.node("BatchNormalization", [sketch.last, *statistics]), reach(sketch))


def blocks(sketch: Sketch) -> None:
    _, c, h, w = sketch.shape
    if h % 2 == 0 and w % 2 == 0 and c < 4:
        name, sketch.shape = sketch.node("SpaceToDepth", [sketch.last], blocksize=2), (1, 4 * c, h // 2, w // 2)
    elif c % 4 == 0:
        mode = str(sketch.pick(("DCR", "CRD")))
        name = sketch.node("DepthToSpace", [sketch.last], blocksize=2, mode=mode)
        sketch.shape = (1, c // 4, 2 * h, 2 * w)
    else:
        name = sketch.node("Tile", [sketch.last, sketch.constant(np.array([1, 2, 1, 1], np.int64))])
        sketch.shape = (1, 2 * c, h, w)
    sketch.finish(name, reach(sketch), same=_same_or_not(sketch))


def idle(sketch: Sketch) -> None:
    sketch.finish(
        sketch.node(str(sketch.pick(("Identity", "Dropout"))), [sketch.last]), reach(sketch), same=_same_or_not(sketch)
    )


def gathered(sketch: Sketch) -> None:
    axis = int(sketch.generator.integers(1, len(sketch.shape)))
    size = sketch.shape[axis]
    chosen = sketch.generator.integers(-size, size, int(sketch.generator.integers(1, 5)))
    name = sketch.node("Gather", [sketch.last, sketch.constant(chosen.astype(np.int64))], axis=axis)
    sketch.shape = (*sketch.shape[:axis], len(chosen), *sketch.shape[axis + 1 :])
    sketch.finish(name, reach(sketch), same=_same_or_not(sketch))


ANY = (elementary, prelu, softmax, broadcast, slices, transpose, gathered, idle, normalization, lrn, reshape)
"""For tensors of any rank from two on."""
MAPS = (pad, resize, conv_transpose, gate, mean, blocks, transpose, slices, lrn, softmax)
"""For maps with room in height and width."""
