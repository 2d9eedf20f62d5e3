"""Where ONNX Runtime, onnx.reference and PyTorch part from the interpreter, on a fixed grid of odd configurations."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from tests.graphs.sketch import Graph
from tests.graphs.small import one
from toolchain.reference import Reference

Array = NDArray[Any]
F32 = np.float32
F = torch.nn.functional
TOLERANCE = 1e-5
"""Of the largest answer: all inputs are small whole numbers, so that a real difference is far larger."""

POOL = "https://onnx.ai/onnx/operators/onnx__AveragePool.html"
SHAPE = '"SAME_UPPER or SAME_LOWER: output_spatial_shape[i] = ceil(input_spatial_shape[i] / strides_spatial_shape[i])"'
SENTENCES = {
    "SAME with dilations": f"{SHAPE}, and pad_shape counts `(kernel_spatial_shape[i] - 1) * dilations[i] + 1`",
    "SAME, gaps between windows": '"pads ... The value represent the number of pixels added": none can be less than 0',
    "SAME": SHAPE,
    "VALID with ceil_mode": '"VALID: output_spatial_shape[i] = ceil((input_spatial_shape[i] - '
    '((kernel_spatial_shape[i] - '
    '1) '
    '* dilations[i] + 1) + 1) / strides_spatial_shape[i])": `ceil_mode` is not in it',
    "VALID": '"VALID mean no padding"',
    "ceil_mode with count_include_pad": '"count_include_pad: Whether include pad pixels when calculating '
    'values for the '
    ''
    'edges": what a last window covers beyond the padding is no pad pixel',
    "ceil_mode": '"if ceil_mode is enabled ... Sliding windows that would start in the right padded region are '
    'ignored"',
    "count_include_pad": '"count_include_pad: Whether include pad pixels when calculating values for the edges"',
    "dilations": '"dilations: Dilation value along each spatial axis of filter": windows are read with gaps',
    "a window of padding only": "The text is silent: the maximum of nothing is the lowest value, its average 0",
    "asymmetric pads": '"pads format should be as follow [x1_begin, x2_begin...x1_end, x2_end,...]"',
    "plain": '"output_spatial_shape[i] = floor((input_spatial_shape[i] + pad_shape[i] - dilation[i] * '
    '(kernel_shape[i] - 1) - 1) / strides_spatial_shape[i] + 1)"',
    "nearest": '"nearest_mode ... how to get nearest pixel in input tensor from x_original"',
    "linear": '"The linear mode includes linear interpolation for 1D tensor"',
    "cubic": '"cubic_coeff_a ... exclude_outside: If set to 1, the weight of sampling locations outside the '
    'tensor will be '
    'set to 0 and the weight will be renormalized so that their sum is 1.0"',
    "ties": '"y = saturate((x / y_scale) + y_zero_point) ... it uses rounding to the nearest even": the quotient is '
    "rounded before the zero point is added",
    "even size": '"max(0, c - floor((size - 1) / 2)) <= i <= min(C - 1, c + ceil((size - 1) / 2))"',
    "odd size": '"max(0, c - floor((size - 1) / 2)) <= i <= min(C - 1, c + ceil((size - 1) / 2))"',
}  # fmt: skip
"""What a verdict rests on, by kind of configuration."""


@dataclass(frozen=True)
class Case:
    """A graph of one node, its kind, and how to ask PyTorch.

    Attributes:
        op: operator.
        kind: key of :data:`SENTENCES`.
        shown: attributes as the page shows them.
        graph: the model and its input.
        torch: PyTorch's answer; ``None`` where it has no such attributes.
    """

    op: str
    kind: str
    shown: str
    graph: Graph
    torch: Callable[[], Any] | None = None


def _pool_kind(op: str, a: dict[str, Any], size: int) -> str:
    k, s, d, mode = a["kernel_shape"][0], a["strides"][0], a["dilations"][0], a.get("auto_pad", "NOTSET")
    if mode.startswith("SAME"):
        if d > 1:
            return "SAME with dilations"
        return "SAME, gaps between windows" if (-(-size // s) - 1) * s + k < size else "SAME"
    if mode == "VALID":
        return "VALID with ceil_mode" if a["ceil_mode"] else "VALID"
    include = a.get("count_include_pad", 0)
    if a["ceil_mode"]:
        return "ceil_mode with count_include_pad" if include else "ceil_mode"
    if d > 1:
        return "dilations"
    if include:
        return "count_include_pad"
    return "asymmetric pads" if a["pads"][0] != a["pads"][1] else "plain"


def _pools() -> Iterator[Case]:
    modes = [{"pads": p} for p in ([0, 0], [1, 0], [0, 1], [1, 1], [2, 1])]
    modes += [{"auto_pad": m} for m in ("SAME_UPPER", "SAME_LOWER", "VALID")]
    grid = itertools.product((4, 7), (1, 2, 3), (1, 2, 3), (1, 2), (0, 1), modes)
    for size, k, s, d, ceil, mode in grid:
        pads = mode.get("pads", [0, 0])
        if (max(pads) >= k > 0 and max(pads)) or d * (k - 1) + 1 > size + sum(pads):
            continue
        attributes = {"kernel_shape": [k], "strides": [s], "dilations": [d], "ceil_mode": ceil, **mode}
        x = np.arange(1, size + 1, dtype=F32).reshape(1, 1, size)
        plain = "pads" in mode and pads[0] == pads[1] <= k // 2
        ask = _torch_max(x, k, s, pads[0], d, ceil) if plain else None
        yield _case("MaxPool", _pool_kind("MaxPool", attributes, size), x, ask, **attributes)
        for include in (0, 1):
            more = {**attributes, "count_include_pad": include}
            ask = _torch_average(x, k, s, pads[0], ceil, include) if plain and d == 1 else None
            yield _case("AveragePool", _pool_kind("AveragePool", more, size), x, ask, **more)


def _torch_max(x: Array, k: int, s: int, p: int, d: int, ceil: int) -> Callable[[], Any]:
    return lambda: F.max_pool1d(torch.tensor(x), k, s, p, d, bool(ceil)).numpy()


def _torch_average(x: Array, k: int, s: int, p: int, ceil: int, include: int) -> Callable[[], Any]:
    return lambda: F.avg_pool1d(torch.tensor(x), k, s, p, bool(ceil), bool(include)).numpy()


def _case(op: str, kind: str, x: Array, ask: Any, *constants: Any, opset: int = 22, **attributes: Any) -> Case:
    shown = ", ".join(f"{n} {v[0] if isinstance(v, list) and len(v) == 1 else v}" for n, v in attributes.items())
    return Case(op, kind, f"{list(x.shape)}: {shown}", one(op, x, *constants, opset=opset, **attributes), ask)


def _convolutions() -> Iterator[Case]:
    grid = itertools.product((5, 6), (2, 3), (1, 2, 3), (1, 2), ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))
    for size, k, s, d, mode in grid:
        x, w = np.arange(1, size + 1, dtype=F32).reshape(1, 1, size), np.arange(1, k + 1, dtype=F32).reshape(1, 1, k)
        kind = ("SAME with dilations" if d > 1 else "SAME") if mode.startswith("SAME") else "plain"
        ask = _torch_conv(x, w, s, d) if kind == "plain" else None
        yield _case("Conv", kind, x, ask, w, strides=[s], dilations=[d], auto_pad=mode)


def _torch_conv(x: Array, w: Array, s: int, d: int) -> Callable[[], Any]:
    return lambda: F.conv1d(torch.tensor(x), torch.tensor(w), None, s, 0, d).numpy()


def _resizes() -> Iterator[Case]:
    coordinates = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")
    for before, after, mode, where in itertools.product(
        (1, 3, 4), (1, 2, 5), ("nearest", "linear", "cubic"), coordinates
    ):
        x = np.arange(1, before + 1, dtype=F32).reshape(1, 1, 1, before) ** 2
        sizes = np.array([1, 1, 1, after])
        roundings = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil") if mode == "nearest" else (None,)
        for rounding in roundings:
            extra = {"nearest_mode": rounding} if rounding else {}
            ask = _torch_resize(x, after, mode, where, rounding)
            yield _case(
                "Resize", mode, x, ask, None, None, sizes, mode=mode, coordinate_transformation_mode=where, **extra
            )


def _torch_resize(x: Array, after: int, mode: str, where: str, rounding: str | None) -> Callable[[], Any] | None:
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode)
    if name is None:
        known = where == "asymmetric" and rounding == "floor"
        return (lambda: F.interpolate(torch.tensor(x), (1, after), mode="nearest").numpy()) if known else None
    if where not in ("half_pixel", "align_corners"):
        return None
    corners = where == "align_corners"
    return lambda: F.interpolate(torch.tensor(x), (1, after), mode=name, align_corners=corners).numpy()


def _quantizations() -> Iterator[Case]:
    x = np.array([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 1e9, -1e9], F32)
    for scale, zero in itertools.product((1.0, 0.5, 0.1), (-128, -1, 0, 1, 127)):
        ask = _torch_quantize(x, scale, zero)
        case = _case("QuantizeLinear", "ties", x, ask, F32(scale), np.int8(zero))
        yield Case(case.op, case.kind, f"x {x[:7].tolist()}..., scale {scale}, zero point {zero}", case.graph, ask)


def _torch_quantize(x: Array, scale: float, zero: int) -> Callable[[], Any]:
    def ask() -> Any:
        return torch.quantize_per_tensor(torch.tensor(x), scale, zero, torch.qint8).int_repr().numpy()

    return ask


def _normalisations() -> Iterator[Case]:
    for size in (1, 2, 3, 4, 5):
        x = np.arange(1, 6, dtype=F32).reshape(1, 5, 1, 1)
        ask = _torch_lrn(x, size)
        yield _case("LRN", "odd size" if size % 2 else "even size", x, ask, size=size, alpha=1.0, beta=1.0, bias=1.0)


def _torch_lrn(x: Array, size: int) -> Callable[[], Any]:
    return lambda: F.local_response_norm(torch.tensor(x), size, 1.0, 1.0, 1.0).numpy()


def grid() -> Iterator[Case]:
    """Every configuration."""
    for part in (_pools, _convolutions, _resizes, _quantizations, _normalisations):
        yield from part()


def _runtime(case: Case) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(case.graph.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = ort.RunOptions()
    run.log_severity_level = 4
    return np.asarray(session.run(None, dict(case.graph.feeds), run)[0])


def _reference(case: Case) -> Array:
    return np.asarray(ReferenceEvaluator(case.graph.proto).run(None, dict(case.graph.feeds))[0])


IMPLEMENTATIONS: dict[str, Callable[[Case], Any]] = {
    "ONNX Runtime": _runtime,
    "onnx.reference": _reference,
    "PyTorch": lambda case: case.torch() if case.torch else None,
}


@dataclass(frozen=True)
class Parting:
    """One case on which one implementation does not answer as the interpreter does."""

    case: Case
    ours: Array
    theirs: Array | None


@cache
def partings() -> tuple[dict[str, list[int]], dict[tuple[str, str, str], list[Parting]]]:
    """For each operator how many cases were asked; and the cases that differ, by operator, kind, implementation."""
    asked: dict[str, list[int]] = defaultdict(lambda: [0] * len(IMPLEMENTATIONS))
    found: dict[tuple[str, str, str], list[Parting]] = defaultdict(list)
    logging.getLogger("onnx").setLevel(logging.ERROR)
    ort.set_default_logger_severity(4)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in grid():
            (ours,) = Reference(ir.from_proto(case.graph.proto)).run(case.graph.feeds).values()
            for place, (name, ask) in enumerate(IMPLEMENTATIONS.items()):
                if name == "PyTorch" and case.torch is None:
                    continue
                asked[case.op][place] += 1
                theirs = _answered(ask, case)
                if theirs is None or not same(ours, theirs):
                    found[case.op, case.kind, name].append(Parting(case, ours, theirs))
    return dict(asked), dict(found)


def _answered(ask: Callable[[Case], Any], case: Case) -> Array | None:
    """The answer, or ``None`` for a refusal: whatever an implementation raises on a correct graph is one."""
    try:
        return np.asarray(ask(case))
    except Exception:  # noqa: BLE001
        return None


def same(a: Array, b: Array) -> bool:
    """Equal in shape, and in value within :data:`TOLERANCE`."""
    if a.shape != b.shape:
        return False
    return bool(np.allclose(a.astype(float), b.astype(float), TOLERANCE, TOLERANCE, equal_nan=True))


def _shown(array: Array | None) -> str:
    if array is None:
        return "refuses"
    values = ", ".join(f"{v:.4g}" for v in array.reshape(-1).astype(float)[:8])
    return f"[{values}{', ...' if array.size > 8 else ''}]"


def table() -> str:
    """Markdown: counts by operator, then one minimal example of each kind of disagreement."""
    asked, found = partings()
    lines = ["| operator | " + " | ".join(IMPLEMENTATIONS) + " |", "|---|" + "---:|" * len(IMPLEMENTATIONS)]
    for op, counts in asked.items():
        differ = [sum(len(v) for (o, _, n), v in found.items() if o == op and n == name) for name in IMPLEMENTATIONS]
        cells = [f"{d} of {c} differ" if c else "-" for d, c in zip(differ, counts, strict=True)]
        lines.append(f"| {op} | {' | '.join(cells)} |")
    for op in asked:
        if any(o == op for o, _, _ in found):
            lines += ["", f"### {op}", ""]
        for kind in dict.fromkeys(k for o, k, _ in found if o == op):
            lines += [f"**{kind}.** The verdict rests on: {SENTENCES[kind]}.", ""]
            lines += [
                "| implementation | cases: shape, value, refused | for example | meant | answered |",
                "|---|---|---|---|---|",
            ]
            for name in IMPLEMENTATIONS:
                cases = found.get((op, kind, name))
                if cases:
                    lines.append(_row(name, cases))
            lines.append("")
    return "\n".join(lines)


def _row(name: str, cases: list[Parting]) -> str:
    refused = sum(p.theirs is None for p in cases)
    shapes = sum(p.theirs is not None and p.theirs.shape != p.ours.shape for p in cases)
    least = min(cases, key=lambda p: (p.theirs is None, p.ours.size, len(p.case.shown), p.case.shown))
    example = f"`{least.case.shown}`"
    return (
        f"| {name} | {shapes}, {len(cases) - refused - shapes}, {refused} | {example} | {_shown(least.ours)} "
        f"| {_shown(least.theirs)} |"
    )
