"""How the errors of sums are distributed: what ONNX Runtime's float32 shows, and what planted faults show.

Draws layers (Conv and Gemm, up to 25,088 terms, with and without a BatchNormalization and an activation behind; data
like images, like activations, sparse, or on few levels), has ONNX Runtime run each, and tests its errors: the largest
root mean square over the permitted deviation, the largest score of a direction, and the suspicions, of which there
should be none. Then the same layers with factors rounded to shorter formats, and with one weight off by a
ten-thousandth: how many are suspected. Exit code 1 on a false alarm. ``--write`` keeps the result in
``results/roundings.json``.

    python -m benchmarks.roundings [--layers 300] [--write]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.files import write_bytes
from toolchain.load import read
from toolchain.reference import Reference
from toolchain.session import Session, SessionOptions
from toolchain.verify.arithmetic import BFLOAT16, FLOAT16, TF32, Arithmetic
from toolchain.verify.distribution import Distribution, examine
from toolchain.verify.regions import cut
from toolchain.verify.taps import gather

Array = NDArray[Any]
RESULTS = Path(__file__).parent / "results" / "roundings.json"
TERMS = (9, 25, 64, 150, 288, 576, 1152, 2304, 4608, 9216, 25088)
DATA = ("image", "activation", "signed", "sparse", "levels")
BEHIND = ("", "Relu", "Tanh", "BatchNormalization", "BatchNormalization+Relu")
OFF = 1.0001


@dataclass(frozen=True)
class Layer:
    """A drawn layer: what it is, its graph, and its input."""

    terms: int
    about: str
    proto: Any
    feed: Array


def data(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Float32 data of a kind."""
    normal = rng.standard_normal(shape)
    made = {
        "image": np.clip(np.rint(normal * 64 + 128), 0, 255) / 255,
        "activation": np.maximum(normal, 0),
        "signed": normal,
        "sparse": normal * (rng.random(shape) < 0.1),
        "levels": np.rint(normal * 4) / 4,
    }
    return made[kind].astype(np.float32)


def draw(rng: np.random.Generator) -> Layer:
    """One layer."""
    terms = int(rng.choice(TERMS))
    kind, behind = str(rng.choice(DATA)), str(rng.choice(BEHIND))
    convolves = terms % 9 == 0 and terms <= 4608 and bool(rng.integers(2))
    channels = int(rng.choice((8, 16, 32)))
    depth = terms // 9 if convolves else terms
    shape = (1, depth, 10, 10) if convolves else (int(rng.choice((8, 32))), terms)
    weight = rng.standard_normal((channels, terms)) * np.sqrt(2.0 / terms)
    constants = {"w": weight.astype(np.float32), "b": (rng.standard_normal(channels) * 0.1).astype(np.float32)}
    if convolves:
        constants["w"] = constants["w"].reshape(channels, depth, 3, 3)
        nodes = [helper.make_node("Conv", ["x", "w", "b"], ["t0"], "sum", pads=[1, 1, 1, 1])]
    else:
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["t0"], "sum", transB=1)]
    for number, name in enumerate(filter(None, behind.split("+")), 1):
        more = ["s", "o", "m", "v"] if name == "BatchNormalization" else []
        constants.update({n: np.abs(rng.standard_normal(channels).astype(np.float32)) + np.float32(0.1) for n in more})
        nodes.append(helper.make_node(name, [f"t{number - 1}", *more], [f"t{number}"], f"behind{number}"))
    answer = [shape[0], channels, *shape[2:]]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, answer)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    about = f"{'Conv' if convolves else 'Gemm'} of {terms} terms, {kind} data, {behind or 'nothing'} behind"
    return Layer(terms, about, proto, data(kind, shape, rng))


def answer(layer: Layer, change: Callable[[Array], Array] | None, feed: Array) -> Array:
    """ONNX Runtime's, with changed weights."""
    proto = layer.proto
    if change is not None:
        proto = type(proto)()
        proto.CopyFrom(layer.proto)
        proto.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(change(numpy_helper.to_array(proto.graph.initializer[0])), "w")
        )
    (y,) = Session(proto.SerializeToString(), SessionOptions()).run({"x": feed}).values()
    return y


def judged(layer: Layer, received: Array) -> Distribution | None:
    """Of what was received for the layer's own input."""
    reference = Reference(read(layer.proto.SerializeToString(), "layer"))
    output = reference.outputs[0]
    (region,) = cut(reference.steps, reference.constants, {"x", output})
    (exact,) = reference.run({"x": layer.feed}).values()
    taps = gather(region, reference.constants, {"x": layer.feed, output: received}, exact)
    return None if taps is None else examine(taps)


def short(arithmetic: Arithmetic) -> Callable[[Array], Array]:
    """Rounds an array to an arithmetic's factors."""
    return lambda a: arithmetic.rounded(a.astype(np.float64)).astype(np.float32)


def heavier(a: Array) -> Array:
    """The largest weight of the second channel off by a ten-thousandth."""
    changed = a.copy()
    changed[1].flat[int(np.abs(changed[1]).argmax())] *= np.float32(OFF)
    return changed


def planted(layer: Layer) -> dict[str, bool]:
    """Which faults are suspected."""
    found = {}
    for arithmetic in (TF32, FLOAT16, BFLOAT16):
        round_ = short(arithmetic)
        seen = judged(layer, answer(layer, round_, round_(layer.feed)))
        found[arithmetic.name] = seen is not None and seen.suspicious
    seen = judged(layer, answer(layer, heavier, layer.feed))
    found[f"one weight times {OFF}"] = seen is not None and seen.suspicious
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=300, help="layers to draw (default: 300)")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULTS.name}")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    alarms = []
    for _ in range(options.layers):
        layer = draw(rng)
        found = judged(layer, answer(layer, None, layer.feed))
        if found is None or not found.elements:
            continue
        row = rows[layer.terms]
        row["layers"] += 1
        row["largest rms"] = max(row["largest rms"], found.rms)
        row["largest score"] = max(row["largest score"], found.systematic.score if found.systematic else 0.0)
        alarms += [f"{layer.about}: {found.describe()}"] if found.suspicious else []
        for name, seen in planted(layer).items():
            row[name] += seen
    kept = {"onnxruntime": onnxruntime.__version__, "layers": options.layers, "false alarms": alarms}
    kept["terms"] = {str(n): dict(rows[n]) for n in sorted(rows)}
    text = json.dumps(kept, indent=1) + "\n"
    sys.stdout.write(text)
    if options.write:
        write_bytes(RESULTS, text.encode(), force=True)
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
