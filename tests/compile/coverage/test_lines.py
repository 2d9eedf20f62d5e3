"""Networks that together run every line and branch of the kernels, on every instruction set that has code of its own.

``make coverage-c`` counts them. Each answer is judged: integers by their bytes, floats by the limits of every backend.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.coverage.builds import BUILDS, ran, usable
from tests.compile.coverage.networks import FAMILIES, Network
from tests.compile.graphs import feeds
from tests.compile.test_narrow import cases
from toolchain.compile.judge import judge
from toolchain.compile.kernels.winograd import tiles_of
from toolchain.compile.translate import Generated, translate
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify.limits import limits
from toolchain.verify.regions import cut
from toolchain.verify.winograd import bounded

pytestmark = pytest.mark.slow

VECTORS = ("c99", "c99-16", "sse4", "avx2", "avx-vnni", "avx512-vnni", "wasm", "neon", "dotprod", "i8mm", "neon-32")
CORES = {"c99": ("dual", "patch", "vector"), "dsp": ("dual",), "mve": ("vector",), "thumb1": ("patch",)}
ROUNDS: dict[str, dict[str, int]] = {
    "sse2": {
        "integers": 24,
        "near ties": 2,
        "saturated": 2,
        "rare windows": 2,
        "scales apart": 1,
        "vanishing": 1,
        "a row": 1,
        "floats": 8,
        "operators": 1,
        "swishes": 1,
        "functions": 3,
        "windows": 3,
        "rows": 2,
        "without numbers": 1,
        "pooled nans": 1,
        "wide convolutions": 4,
        "wide across": 3,
        "wide floats across": 2,
        "wide map": 4,
        "wide dense": 4,
        "wide saturated": 1,
        "wide rare windows": 2,
        "wide scales apart": 1,
        "wide map apart": 1,
        "wide floats": 2,
        "wide functions": 2,
        "wide windows": 4,
        "wide rows": 4,
        "small maps": 1,
        "wide without numbers": 2,
    },
    **{
        name: {
            "wide convolutions": 1,
            "wide across": 2,
            "wide floats across": 2,
            "wide map": 2,
            "wide map apart": 1,
            "wide dense": 1,
            "wide floats": 2,
            "wide scales apart": 1,
        }
        for name in VECTORS
    },
    "dsp-other": {"dual convolutions": 2, "dual across": 2},
    "dsp-assembly": {"dual convolutions": 3, "dual functions": 2, "dual windows": 1, "dual rows": 2},
}
for name, sets in CORES.items():
    more = {
        f"{kernels} {kind}": count
        for kernels in sets
        for kind, count in (
            ("convolutions", 4),
            ("across", 2),
            ("rare windows", 3),
            ("scales apart", 2),
            ("saturated", 2),
        )
    }
    ROUNDS[name] = {**ROUNDS.get(name, {}), **more}
ROUNDS["c99"] |= {"dual functions": 3, "dual windows": 2, "dual rows": 4, "dual pooled nans": 1}
ROUNDS["avx2"] |= {"wide narrow": len(cases())}
ROUNDS["dsp"] |= {"dual functions": 1, "dual rows": 1}
"""By build: how many networks of each family."""


@pytest.mark.parametrize(
    ("build", "family", "index"),
    [
        (build, family, index)
        for build, rounds in ROUNDS.items()
        for family, count in rounds.items()
        for index in range(count)
    ],
)
def test_network(build: str, family: str, index: int, tmp_path: Path) -> None:
    usable(BUILDS[build])
    network = FAMILIES[family](index)
    made = translate(network.model, "net", **network.options)
    given = _inputs(network, made, index)
    if network.integers:
        verdict = judge(network.model, made.program, given, ran(made, BUILDS[build], given, tmp_path))
        assert verdict.ok, [layer for layer in verdict.layers if layer.differing]
        return
    for sample, seen in zip(given, ran(made, BUILDS[build], given, tmp_path), strict=True):
        _keep_the_limits(network, made, {**sample, **seen})


def _inputs(network: Network, made: Generated, seed: int) -> list[dict[str, np.ndarray]]:
    (port,) = made.program.inputs
    if network.inputs is not None:
        return [{port.name: network.inputs(port.shape, seed + i)} for i in range(network.samples)]
    if network.integers:
        return feeds(network.model, network.samples, seed)
    generator = np.random.default_rng(seed)
    spreads = (0.3, 1.0, 4.0)[: network.samples]
    return [{port.name: (generator.standard_normal(port.shape) * s).astype(np.float32)} for s in spreads]


def _keep_the_limits(network: Network, made: Generated, tensors: dict[str, np.ndarray]) -> None:
    """Every tensor within the sound limit around what its own inputs give; what is no number in both is the same."""
    reference = Reference(network.model)
    steps = bounded(reference.steps, tiles_of(made.program))
    specs = infer(network.model)
    regions = cut(steps, reference.constants, set(tensors))
    made_here = {step.call.output.name for step in made.program.steps} & set(specs)
    assert made_here <= {region.tensor for region in regions}
    for region in regions:
        exact, bound = limits(region, reference.constants, tensors, specs)
        got = tensors[region.tensor]
        with np.errstate(invalid="ignore"):
            right = (got == exact) | (np.isnan(got) & np.isnan(exact)) | (np.abs(got - exact) <= bound.sound)
        assert right.all(), (region.tensor, got[~right][:4], exact[~right][:4])
