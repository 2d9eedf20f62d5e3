"""Constants in memory: a network holds what its layers hold, once."""

from __future__ import annotations

from pathlib import Path

from tests.compile.graphs import Sketch
from tests.compile.running import write
from toolchain.compile.build import objects
from toolchain.compile.generate import TEXT_LIMIT
from toolchain.compile.program import constants
from toolchain.compile.translate import translate


def _normalized(channels: int) -> Sketch:
    """An LRN that changes nothing, so that no magnitude has a second level."""
    sketch = Sketch(7, (1, channels, 4, 4))
    name = sketch.node("LRN", [sketch.last], size=5, alpha=1e-9, beta=0.75, bias=1.0)
    sketch.last = sketch._quantized(name, sketch.scale, sketch.zero)
    return sketch


def test_no_constant_is_empty() -> None:
    """C has no arrays of no elements, and the assembler takes a length of 0 for all that is left of a file."""
    program = translate(_normalized(8).model(), "net").program
    assert "lrn_s8" in [step.call.function for step in program.steps]
    for step in program.steps:
        for name, constant in constants(step.name, step.call.layer):
            assert constant.data.size, name


def test_a_binary_file_is_held_once(tmp_path: Path) -> None:
    sketch = _normalized(64)
    w, b, _ = sketch.weights((128, 64, 3, 3))
    convolution = sketch.node("Conv", [sketch.last, w, b], kernel_shape=[3, 3])
    sketch.shape = (1, 128, 2, 2)
    sketch.finish(convolution, 60.0)
    made = translate(sketch.model(), "net")
    folder = write(made, tmp_path / "c")
    written = len(made.files["net_weights.bin"])
    assert written > TEXT_LIMIT
    (assembled,) = objects(["gcc"], [], ["net_weights.S"], folder, tmp_path)
    assert written <= assembled.stat().st_size < written + 8192  # names and headers
