"""A PyTorch module beside an ONNX graph that should mean the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.agree import Layer, OutputAgreement, OutputTally, Parting, largest, parted
from toolchain.data import Samples, batch_of
from toolchain.errors import UnsupportedError
from toolchain.reference import Reference
from toolchain.session import one_line

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]


def agreements(module: torch.nn.Module, model: ir.Model, given: Samples, name: str = "") -> tuple[OutputAgreement, ...]:
    """A module in float64 against the interpreter on a graph; inputs and outputs are matched by position.

    Args:
        module: copied; run in evaluation mode, on the CPU.
        model: the graph.
        given: samples for the graph's inputs.
        name: how messages call the module; its class by default.

    Returns:
        One for each output of the graph.

    Raises:
        UnsupportedError: the module does not run in float32 or float64, or a node cannot be evaluated.
    """
    reference, called = Reference(model), name or type(module).__name__
    exact, single = Runner(module, called, double=True), Runner(module, called, double=False)
    tallies = [OutputTally(value) for value in model.graph.outputs]
    done, size = 0, batch_of(model)
    for count, feeds in given.batches(size or len(given), fixed=size is not None):
        inputs = [feeds[value.name or ""] for value in reference.inputs]
        meant, rounded, results = exact(inputs), single(inputs), reference.run(feeds)
        for position, (tally, output) in enumerate(zip(tallies, reference.outputs, strict=True)):
            if len(meant) != len(tallies):
                tally.fail(f"the graph has {len(tallies)} outputs; {called} gives {len(meant)}")
                continue
            error = largest(rounded[position], meant[position])
            tally.add(done, count, meant[position], results[output], error)
        done += count
    return tuple(tally.verdict() for tally in tallies)


def parting_of(module: torch.nn.Module, model: ir.Model, feeds: Mapping[str, Array]) -> Parting | None:
    """Where a graph leaves a module: results of its innermost modules are looked for among the graph's tensors.

    Args:
        module: as for :func:`agreements`.
        model: the graph.
        feeds: one batch.

    Returns:
        ``None`` where nothing can be told.
    """
    reference, called = Reference(model), type(module).__name__
    inputs = [feeds[value.name or ""] for value in reference.inputs]
    exact, single = Runner(module, called, double=True), Runner(module, called, double=False)
    exact.keep_layers()
    single.keep_layers()
    exact(inputs)
    single(inputs)
    layers = [Layer(layer, array, single.layers[layer]) for layer, array in exact.layers.items()]
    made = [output for step in reference.steps for output in step.outputs if output]
    return parted(layers, model, reference.run(feeds, keep=made))


class Runner:
    """A copy of a module, in evaluation mode on the CPU.

    Args:
        module: stays as it is.
        name: how messages call it.
        double: computes in float64, else in float32.

    Attributes:
        layers: after :meth:`keep_layers` and a call, the results of the innermost modules, in the order of computing.
    """

    def __init__(self, module: torch.nn.Module, name: str, *, double: bool) -> None:
        import torch

        self._name = name
        self._type = torch.float64 if double else torch.float32
        self._module = copy.deepcopy(module).cpu().eval().to(self._type)
        self.layers: dict[str, Array] = {}

    def keep_layers(self) -> None:
        """From now on, keep what the innermost modules give."""

        def keeping(part: str) -> Any:
            def keep(_: object, __: object, result: object) -> None:
                tensors = list(_tensors(result))
                if tensors:
                    calls = sum(key == part or key.startswith(f"{part} (call ") for key in self.layers)
                    self.layers[f"{part} (call {calls + 1})" if calls else part] = _array(tensors[0])

            return keep

        for part, inner in self._module.named_modules():
            if next(inner.children(), None) is None:
                inner.register_forward_hook(keeping(part or self._name))

    def __call__(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run it.

        Args:
            inputs: its arguments; floating-point ones are converted.

        Returns:
            Every tensor of its result, in order; floating-point ones as float64.

        Raises:
            UnsupportedError: it does not run.
        """
        import torch

        usual = torch.get_default_dtype()
        torch.set_default_dtype(self._type)
        try:
            tensors = [torch.from_numpy(np.array(array)) for array in inputs]
            with torch.no_grad():
                result = self._module(*(t.to(self._type) if t.is_floating_point() else t for t in tensors))
        except (RuntimeError, TypeError, ValueError) as error:
            kind = str(self._type).removeprefix("torch.")
            raise UnsupportedError(
                f"{self._name} does not run in {kind}, in which the export is compared: {cause(error)}; "
                "let its forward follow the type of its input"
            ) from error
        finally:
            torch.set_default_dtype(usual)
        return tuple(_array(tensor) for tensor in _tensors(result))


def _tensors(result: object) -> Iterator[torch.Tensor]:
    """The tensors of a module's result, in order."""
    import torch

    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from _tensors(value)
    elif isinstance(result, list | tuple):
        for value in result:
            yield from _tensors(value)


def _array(tensor: torch.Tensor) -> Array:
    plain = tensor.detach()
    array: Array = (plain.double() if plain.is_floating_point() else plain).numpy().copy()
    return array


def cause(error: BaseException) -> str:
    """The innermost cause, in one line: PyTorch wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error, 200)
