"""``onnx-edge verify M.onnx OTHER.onnx`` where names of tensors cannot match the two.

Where they share no name of an inner tensor, or so few that a region holds several products, the limit over all that
lies between would be worthless. Then each is judged on its own graph, and their outputs are compared in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from toolchain.cli.common import emit, printable

if TYPE_CHECKING:
    from toolchain.equivalence import Equivalence
    from toolchain.verify import Verification


def nameless(model: Path, other: Path) -> bool:
    """Whether two files share no name of an inner tensor, or differ in those of their inputs or outputs."""
    from toolchain.equivalence import shared
    from toolchain.load import load

    return not shared(load(model), load(other))


def coarse(result: Verification) -> bool:
    """Whether a region holds several products, so that its limit is that of one composed with another."""
    from toolchain.verify.sums import PRODUCTS

    return any(sum(name in PRODUCTS for name in region.operators) > 1 for region in result.regions)


def judge_apart(
    model: Path,
    other: Path,
    data: str | None,
    synthetic: int | None,
    seed: int,
    options: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Judge both, compare their outputs and print; exit code 1 where they are not equivalent.

    Args:
        model: what is meant.
        other: judged by it.
        data: samples, or ``None``.
        synthetic: number of random ones.
        seed: of those.
        options: for ``verify``, of the backend.
        as_json: print JSON.

    Raises:
        ToolchainError: a model or the data cannot be used.
    """
    from toolchain.data import samples
    from toolchain.equivalence import equivalent
    from toolchain.load import load
    from toolchain.unpack import unpacked

    meant, judged = unpacked(load(model)), unpacked(load(other))
    given = samples(meant, data, synthetic=synthetic, seed=seed)
    names = (str(model), str(other))
    emit("verify", equivalent(meant, judged, given, match="outputs", names=names, **options), as_json, render)


def render(found: Equivalence) -> Group:
    """What was compared, and the verdict."""
    from toolchain.plain import equivalence

    if not found.ok:
        return Group(*(Text(line) for line in equivalence(found).splitlines()))
    outputs = [
        Text(printable(f"  output {o.output!r}: largest difference {o.difference:.3g}, limit {o.limit:.3g}"))
        for o in found.outputs
    ]
    count = sum(len(verification.regions) for verification in found.verifications)
    title = (
        f"equivalent, by outputs: {found.other} and {found.model} share too few names of tensors; each is certified on "
        f"its own graph ({count} tensors), and both give the same"
    )
    return Group(*outputs, Text(printable(title), "green"))
