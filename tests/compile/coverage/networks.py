"""Networks for every line of the kernels, by the kernels that they are compiled to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from tests.compile import branches, test_microcontrollers, test_narrow, test_operators
from tests.compile.coverage import special
from tests.compile.graphs import draw
from tests.compile.test_float_wide import network, threes

Inputs = Callable[[Sequence[int], int], np.ndarray]


@dataclass(frozen=True)
class Network:
    """A model and how it is compiled.

    Attributes:
        model: what is compiled.
        options: of ``translate``.
        integers: judged by bytes; otherwise by the limits of floats.
        samples: how many inputs it gets.
        inputs: makes them, from a shape and a number.
    """

    model: ir.Model
    options: Mapping[str, object] = field(default_factory=dict)
    integers: bool = True
    samples: int = 2
    inputs: Inputs | None = None


def _operators(index: int) -> Network:
    nodes, constants = test_operators._nodes()
    outputs = [*test_operators.CASES, "head", "tail"]
    return Network(test_operators._model(nodes, [1, 6, 8, 10], constants, outputs), integers=False)


def _wide_floats(index: int) -> Network:
    model = network(index) if index % 2 == 0 else threes((1, 3)[index // 2 % 2])
    return Network(model, {"wide": True, "winograd": index % 2 == 1}, integers=False, samples=2)


def _floats(
    make: Callable[[int], ir.Model], *, inputs: Inputs | None = None, **options: object
) -> Callable[[int], Network]:
    return lambda index: Network(make(index), options, integers=False, samples=2, inputs=inputs)


def _integers(make: Callable[[int], ir.Model], options: Mapping[str, object]) -> Callable[[int], Network]:
    return lambda index: Network(make(index), options, inputs=special.extremes if index % 2 else None)


def _functions(index: int) -> ir.Model:
    return special.functions_behind_convolutions(index, (1, 4, 17)[index % 3])


def _narrow(index: int) -> Network:
    weights = list(test_narrow.cases().values())[index]
    return Network(test_narrow.dense(weights, 10_000.0), {"wide": True})


def _windows(index: int) -> ir.Model:
    return special.windows(index, (1, 3, 18, 34)[index % 4])


def _small_maps(index: int) -> Network:
    return Network(special.small_maps(index), {"wide": True, "winograd": True}, integers=False, samples=1)


INTEGERS = {
    "near ties": special.near_ties,
    "saturated": special.saturated,
    "rare windows": special.rare_windows,
    "scales apart": special.scales_apart,
}
FLOATS = {"functions": _functions, "windows": _windows, "rows": special.rows}
SETS: dict[str, dict[str, object]] = {
    "": {},
    "wide ": {"wide": True},
    **{f"{kernels} ": {"kernels": kernels} for kernels in ("dual", "patch", "vector")},
}

FAMILIES: dict[str, Callable[[int], Network]] = {
    "integers": lambda index: Network(draw(index), {"fused": index % 3 != 0}),
    "floats": lambda index: Network(draw(index, real=True), integers=False),
    "operators": _operators,
    "swishes": _floats(special.swishes),
    "wide convolutions": lambda index: Network(branches.convolutions(index), {"wide": True}),
    "wide across": lambda index: Network(branches.across(3 * index + 2), {"wide": True}),
    "wide floats across": _floats(lambda index: branches.across(3 * index + 1, real=True), wide=True),
    "wide map": lambda index: Network(branches.rows(index), {"wide": True}),
    "wide dense": lambda index: Network(branches.dense_layers(index), {"wide": True}),
    "wide narrow": _narrow,
    "wide integers": lambda index: Network(draw(200 + index), {"wide": True, "fused": index % 2 == 0}),
    "wide floats": _wide_floats,
    "small maps": _small_maps,
    "without numbers": _floats(special.without_numbers, inputs=special.extremes),
    "wide without numbers": _floats(special.without_numbers, wide=True, inputs=special.extremes),
    "pooled nans": _floats(special.pooled_nans, inputs=special.few_numbers),
    "dual pooled nans": _floats(special.pooled_nans, inputs=special.few_numbers, kernels="dual"),
    "wide map apart": lambda index: Network(special.scales_apart(3 * index + 2), {"wide": True}),
    "a row": lambda index: Network(special.a_row(index), inputs=special.far_apart),
    "vanishing": lambda index: Network(special.vanishing(index), inputs=special.far_apart),
    **{name: _floats(make) for name, make in FLOATS.items()},
    **{f"wide {name}": _floats(make, wide=True) for name, make in FLOATS.items()},
    **{f"dual {name}": _floats(make, kernels="dual") for name, make in FLOATS.items()},
    **{f"{way}{name}": _integers(make, options) for way, options in SETS.items() for name, make in INTEGERS.items()},
    **{
        f"{kernels} across": lambda index, kernels=kernels: Network(
            branches.across(3 * index, 2, most=7), {"kernels": kernels}
        )
        for kernels in ("dual", "patch", "vector")
    },
    **{
        f"{kernels} convolutions": lambda index, kernels=kernels: Network(
            test_microcontrollers.convolutions(index), {"kernels": kernels}
        )
        for kernels in ("dual", "patch", "vector")
    },
}
"""By name: from a number to a network."""
