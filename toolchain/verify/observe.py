"""Look at the tensors of the graph that ONNX Runtime really runs.

Asking a session for every tensor stops the fusions that it would otherwise do, so what one would look at is not
what runs. Instead the runtime saves its optimised graph; that graph is run again without further optimisation and
with every tensor exposed, and its outputs are compared bit for bit with the plain session's.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.ops.operator import Spec
from toolchain.session import Session, SessionOptions, detached
from toolchain.shapes import infer
from toolchain.verify.kernels import kernels
from toolchain.verify.survivors import BLOCKED_DOMAIN, Survivor, restored, survivors
from toolchain.verify.widened import computed_in_float32

Array = NDArray[Any]


@dataclass(frozen=True)
class Observation:
    """One run.

    Attributes:
        tensors: by the model's names, in the model's layout; outputs included.
        same: whether the outputs equal the plain session's, bit for bit.
    """

    tensors: dict[str, Array]
    same: bool


class OnnxRuntimeBackend:
    """A model in ONNX Runtime, observed.

    Args:
        model: the model.
        options: provider and optimisation level to judge.
        specs: types and shapes that are meant; inferred where they are not given.
        shapes_of: the model whose tensors are meant, if it is another one.
    """

    def __init__(
        self,
        model: ir.Model,
        options: SessionOptions,
        *,
        specs: Mapping[str, Spec] | None = None,
        shapes_of: ir.Model | None = None,
    ) -> None:
        meant = shapes_of or model
        as_it_is = dataclasses.replace(options, optimization="off", optimized_model=None)
        # Its large weights are mapped from the file as long as the session lives: some systems keep it until then.
        with tempfile.TemporaryDirectory(prefix="onnx-edge-", ignore_cleanup_errors=True) as folder:
            optimized, exposed = Path(folder) / "optimized.onnx", Path(folder) / "exposed.onnx"
            self._plain = Session(detached(model), dataclasses.replace(options, optimized_model=optimized))
            proto = onnx.load(optimized, load_external_data=False)
            self.watched = survivors(proto, meant, model)
            _expose(proto, [w.running for w in self.watched])
            exposed.write_bytes(proto.SerializeToString())
            self._observed = Session(exposed, as_it_is)
        self.model = model
        self.nodes = tuple(f"{node.domain + '.' if node.domain else ''}{node.op_type}" for node in proto.graph.node)
        self.kernels = kernels(proto, self.watched)
        self.specs = infer(meant) if specs is None else specs
        self.widened = computed_in_float32(proto, self.watched)

    def observe(self, feeds: Mapping[str, Array]) -> Observation:
        """Run once and fetch every watched tensor."""
        plain = self._plain.run(feeds)
        fetched = self._observed.run(feeds)
        tensors = {w.model: self._restored(w, fetched[w.running]) for w in self.watched}
        same = all(_identical(plain[name], fetched[name]) for name in self._plain.outputs)
        return Observation({**tensors, **plain}, same)

    def _restored(self, survivor: Survivor, array: Array) -> Array:
        block = block_size() if survivor.layout == "blocked" else 0
        return restored(survivor, array, self.specs[survivor.model], block)


@cache
def block_size() -> int:
    """Channels in a block of the channel-blocked layout on this machine.

    The runtime does not write it down (it is 8 or 16, by the width of the vectors), so it is asked: a ramp over
    16 channels of 2 pixels is reordered, and the second pixel of the first channel lands behind the first block.
    """
    node = onnx.helper.make_node("ReorderInput", ["x"], ["y"], domain=BLOCKED_DOMAIN)
    shape = [1, 16, 1, 2]
    graph = onnx.helper.make_graph(
        [node],
        "probe",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name="y")],
    )
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid(BLOCKED_DOMAIN, 1)]
    content = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    ramp = np.arange(32, dtype=np.float32).reshape(shape)
    reordered = Session(content, SessionOptions(optimization="off")).run({"x": ramp})["y"].ravel()
    return int(np.flatnonzero(reordered == ramp[0, 0, 0, 1])[0])


def _expose(proto: onnx.ModelProto, names: list[str]) -> None:
    """Make tensors outputs of the graph, without stating types: the runtime infers them."""
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)


def _identical(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
