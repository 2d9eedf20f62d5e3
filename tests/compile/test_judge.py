"""What ``compile --run`` says of integers, of floats, and of integers rounded from floats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.compile.graphs import Sketch, feeds
from tests.compile.running import linked
from toolchain.compile.golden import selftest
from toolchain.compile.judge import in_float, judge
from toolchain.compile.program import Program
from toolchain.compile.translate import translate
from toolchain.integers import IntegerReference

Layers = dict[str, np.ndarray]
Sample = dict[str, np.ndarray]


def _with_an_island(seed: int) -> ir.Model:
    """Integers, a Tanh that is not rounded before it is resized, integers again."""
    sketch = Sketch(seed, (1, 3, 9, 7))
    sketch.conv()
    height, width = sketch.shape[2:]
    sizes = sketch.constant(np.array([1, sketch.shape[1], 2 * height + 1, 3 * width - 1], np.int64))
    x = sketch.node("Resize", [sketch.node("Tanh", [sketch.last]), "", "", sizes], mode="linear")
    sketch.shape = (1, sketch.shape[1], 2 * height + 1, 3 * width - 1)
    sketch.finish(x, 1.0)
    sketch.conv()
    sketch.dense()
    return sketch.model()


class Shifted:
    """A backend whose float layer ends some steps off, with all behind it computed from there.

    Args:
        model: with one float layer.
        name: the integers rounded from it.
        steps: added to the second element.
    """

    def __init__(self, model: ir.Model, name: str, steps: int) -> None:
        self.reference = IntegerReference(model)
        self.name, self.steps = name, steps

    def __call__(self, sample: Mapping[str, np.ndarray], layers: Mapping[str, np.ndarray]) -> Layers:
        """The layers of a sample, given what C had."""
        first = layers[self.name].copy().reshape(-1)
        first[1] = first[1] + self.steps if first[1] < 127 - self.steps else first[1] - self.steps
        shifted = first.reshape(layers[self.name].shape)
        meant = self.reference.run(sample, instead={self.name: shifted})
        known = {name: meant[name].astype(array.dtype) for name, array in layers.items() if name in meant}
        return {**layers, **known, self.name: shifted}


def _run(seed: int, folder: Path) -> tuple[ir.Model, Program, list[Sample], list[Layers]]:
    model = _with_an_island(seed)
    made = translate(model, "net")
    run = linked(made, folder / "c", ("-O1",))
    given = feeds(model, 4, seed)
    return model, made.program, given, [run(sample) for sample in given]


@pytest.mark.parametrize("seed", range(4))
def test_integers_behind_floats_are_exact_again(seed: int, tmp_path: Path) -> None:
    model, program, given, received = _run(seed, tmp_path)
    floats, near = in_float(program)
    assert floats
    assert len(near) == 1
    verdict = judge(model, program, given, received)
    assert verdict.ok, verdict
    counted = {layer.tensor for layer in verdict.layers if layer.compared}
    assert counted == {step.call.output.name for step in program.steps} - floats - {"quantizelinear5_out_float"}


@pytest.mark.parametrize(("steps", "differing"), [(1, 0), (2, 4)])
def test_a_float_layer_may_round_one_step_aside(steps: int, differing: int, tmp_path: Path) -> None:
    """Another processor's last bits are no fault, and neither is what follows from them; two steps are one."""
    model, program, given, received = _run(2, tmp_path)  # where a step reaches what lies behind
    (name,) = in_float(program)[1]
    other = Shifted(model, name, steps)
    changed = [other(sample, layers) for sample, layers in zip(given, received, strict=True)]
    later = [n for n in changed[0] if n != name and (changed[0][n] != received[0][n]).any()]
    assert later
    verdict = judge(model, program, given, changed)
    assert verdict.differing == differing
    assert {layer.tensor for layer in verdict.layers if layer.differing} <= {name}


def test_a_wrong_byte_behind_floats_is_found(tmp_path: Path) -> None:
    model, program, given, received = _run(0, tmp_path)
    last = program.steps[-2].call.output.name
    wrong = received[2][last].copy()
    wrong.reshape(-1)[0] ^= 1
    received[2] = {**received[2], last: wrong}
    verdict = judge(model, program, given, received)
    (layer,) = [one for one in verdict.layers if one.differing]
    assert (layer.tensor, layer.differing) == (last, 1)
    assert layer.first is not None
    assert layer.first[:2] == (2, 0)


def test_floats_at_the_end_are_left_to_verify(tmp_path: Path) -> None:
    """Dequantized logits are exact; what a float layer makes of them is not compared."""
    sketch = Sketch(3, (1, 2, 5, 5))
    sketch.conv()
    sketch.dense()
    sketch.last = sketch.node("ReduceMean", [sketch.last], keepdims=1)
    sketch.shape = (1, 1)
    model = sketch.model()
    made = translate(model, "net")
    run = linked(made, tmp_path / "c", ("-O1",))
    given = feeds(model, 3, 3)
    received = [run(sample) for sample in given]
    received = [{**layers, sketch.last: layers[sketch.last] * np.float32(1 + 2.0**-20)} for layers in received]
    verdict = judge(model, made.program, given, received)
    assert verdict.ok
    *exact, loose = verdict.layers
    assert (loose.tensor, loose.compared) == (sketch.last, 0)
    assert sum(layer.compared > 0 for layer in exact) == len(exact) - 1  # dequantized for the float layer


def test_a_view_of_floats_is_as_loose_as_they_are() -> None:
    """A Reshape moves nothing, so that no layer stands between a float layer and the integers behind it."""
    sketch = Sketch(5, (1, 3, 4, 4))
    sketch.conv()
    size = int(np.prod(sketch.shape[1:]))
    x = sketch.node("Flatten", [sketch.node("Exp", [sketch.node("Tanh", [sketch.last])])])
    sketch.shape = (1, size)
    sketch.finish(x, 2.7)
    sketch.dense()
    model = sketch.model()
    made = translate(model, "net")
    (behind,) = in_float(made.program)[1]
    place = next(i for i, step in enumerate(made.program.steps) if step.call.output.name == behind)
    text = selftest(model, made, feeds(model, 2, 5), "digest")["net_selftest.c"].decode()
    marks = re.findall(r'^    \{"(\w+)", ([01])\},$', text, re.MULTILINE)
    assert [name for name, _ in marks] == [step.name for step in made.program.steps]
    exact = [mark == "1" for _, mark in marks]
    assert exact[0], "the quantized image"
    assert not any(exact[place:]), "a device's last bits may differ, and all that follows from them"
