"""What the pools share: shapes of inputs and outputs."""

from __future__ import annotations

from toolchain.ops.operator import Spec
from toolchain.ops.windows import Geometry, Windows


def geometry(windows: Windows, shape: tuple[int, ...]) -> Geometry:
    """Fix the windows over an input [N, C, spatial...].

    Raises:
        ValueError: no spatial axis, no kernel, or a window larger than the padded input.
    """
    if len(shape) < 3:
        raise ValueError(f"input has shape {list(shape)}; expected [N, C, spatial...]")
    return windows.resolve(shape[2:])


def pooled(windows: Windows, x: Spec) -> Spec:
    """Type of the input, [N, C, output...]."""
    return Spec(x.dtype, (*x.shape[:2], *geometry(windows, x.shape).output))
