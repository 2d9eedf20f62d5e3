"""Sliding windows over the spatial axes, shared by Conv and the pools.

Output sizes follow the ONNX specification of Conv and of the pools:
``floor((size + pad_begin + pad_end - dilation * (kernel - 1) - 1) / stride) + 1``, with ``ceil`` instead of
``floor`` under ``ceil_mode``, where windows that would start in the end padding are ignored. SAME_UPPER and
SAME_LOWER give ``ceil(size / stride)`` and VALID gives ``ceil((size - dilation * (kernel - 1)) / stride)``,
which is the formula with ``floor`` and no padding: neither depends on ``ceil_mode``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from toolchain.ops.operator import NodeFacts

Array = NDArray[Any]
AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Windows:
    """Attributes common to Conv and the pools; ``None`` where the node leaves one out.

    Attributes:
        kernel_shape: extent along each spatial axis.
        strides: step along each spatial axis; default 1.
        dilations: distance between taps along each spatial axis; default 1.
        pads: all begins, then all ends; default 0.
        auto_pad: NOTSET, SAME_UPPER, SAME_LOWER or VALID.
        ceil_mode: round output sizes up.
    """

    kernel_shape: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    dilations: tuple[int, ...] | None
    pads: tuple[int, ...] | None
    auto_pad: str = "NOTSET"
    ceil_mode: bool = False

    @classmethod
    def parse(cls, facts: NodeFacts) -> Windows:
        """Read the attributes and refuse values that mean nothing."""

        def ints(name: str) -> tuple[int, ...] | None:
            value = facts.attributes.get(name)
            return None if value is None else tuple(int(v) for v in value)

        auto_pad = str(facts.attributes.get("auto_pad", "NOTSET") or "NOTSET")
        if auto_pad not in AUTO_PADS:
            raise facts.unsupported(f"auto_pad is {auto_pad!r}", f"expected one of {', '.join(AUTO_PADS)}")
        windows = cls(
            kernel_shape=ints("kernel_shape"),
            strides=ints("strides"),
            dilations=ints("dilations"),
            pads=ints("pads"),
            auto_pad=auto_pad,
            ceil_mode=bool(facts.attributes.get("ceil_mode", 0)),
        )
        for name in ("kernel_shape", "strides", "dilations"):
            if any(v < 1 for v in getattr(windows, name) or ()):
                raise facts.unsupported(f"{name} is {getattr(windows, name)}", "expected positive numbers")
        if any(v < 0 for v in windows.pads or ()):
            raise facts.unsupported(f"pads is {windows.pads}", "expected non-negative numbers")
        return windows

    def resolve(self, spatial: tuple[int, ...], kernel: tuple[int, ...] | None = None) -> Geometry:
        """Fix defaults and automatic padding for an input of the given spatial shape.

        Args:
            spatial: sizes of the spatial axes.
            kernel: the weight's spatial shape, used where ``kernel_shape`` is left out.

        Raises:
            ValueError: attribute lengths do not fit the rank, or the window is larger than the padded input.
        """
        return _resolved(self, spatial, kernel)

    def _resolve(self, spatial: tuple[int, ...], kernel: tuple[int, ...] | None) -> Geometry:
        rank = len(spatial)
        extent = self.kernel_shape or kernel
        if extent is None:
            raise ValueError("kernel_shape is missing")
        if kernel is not None and tuple(extent) != tuple(kernel):
            raise ValueError(f"kernel_shape {extent} is not the weight's spatial shape {kernel}")
        strides, dilations = self.strides or (1,) * rank, self.dilations or (1,) * rank
        pads = self.pads if self.pads is not None and self.auto_pad == "NOTSET" else (0,) * (2 * rank)
        for name, value, length in (
            ("kernel_shape", extent, rank),
            ("strides", strides, rank),
            ("dilations", dilations, rank),
            ("pads", pads, 2 * rank),
        ):
            if len(value) != length:
                raise ValueError(f"{name} has {len(value)} values; expected {length} for {rank} spatial axes")
        begins, ends, sizes = [], [], []
        for axis in range(rank):
            span = dilations[axis] * (extent[axis] - 1) + 1
            begin, end, size = self._axis(spatial[axis], span, strides[axis], pads[axis], pads[rank + axis])
            if size < 1:
                raise ValueError(
                    f"window of {span} is larger than the padded input of {spatial[axis] + begin + end} "
                    f"along spatial axis {axis}"
                )
            begins.append(begin)
            ends.append(end)
            sizes.append(size)
        return Geometry(tuple(extent), strides, dilations, tuple(begins), tuple(ends), tuple(spatial), tuple(sizes))

    def _axis(self, size: int, span: int, stride: int, begin: int, end: int) -> tuple[int, int, int]:
        """Begin padding, end padding and output size along one axis."""
        if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            out = -(-size // stride)
            total = max((out - 1) * stride + span - size, 0)
            small, large = total // 2, total - total // 2
            return (small, large, out) if self.auto_pad == "SAME_UPPER" else (large, small, out)
        room = size + begin + end - span
        if self.ceil_mode and self.auto_pad == "NOTSET":
            starts_inside = -(-(size + begin) // stride)
            return begin, end, min(-(-room // stride) + 1, starts_inside)
        return begin, end, room // stride + 1


@lru_cache(maxsize=1024)
def _resolved(windows: Windows, spatial: tuple[int, ...], kernel: tuple[int, ...] | None) -> Geometry:
    return windows._resolve(spatial, kernel)


@dataclass(frozen=True)
class Geometry:
    """Windows over one input: everything concrete, one value a spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    spatial: tuple[int, ...]
    output: tuple[int, ...]

    @cached_property
    def enclosing(self) -> tuple[int, ...]:
        """Spatial shape with padding; long enough at the end for a last window under ceil_mode."""
        return tuple(
            max(begin + size + end, (out - 1) * stride + dilation * (taps - 1) + 1)
            for begin, size, end, out, stride, dilation, taps in zip(
                self.begins,
                self.spatial,
                self.ends,
                self.output,
                self.strides,
                self.dilations,
                self.kernel,
                strict=True,
            )
        )

    def padded(self, x: Array, fill: Any) -> Array:
        """``x`` [..., spatial...] with padding: [..., enclosing...]; ``x`` itself where there is none."""
        if self.enclosing == self.spatial:
            return x
        whole = np.full((*x.shape[: x.ndim - len(self.kernel)], *self.enclosing), fill, dtype=x.dtype)
        inside: list[Any] = [..., *(slice(b, b + size) for b, size in zip(self.begins, self.spatial, strict=True))]
        whole[tuple(inside)] = x
        return whole

    def view(self, x: Array) -> Array:
        """Windows of a padded array as a view: [N, C, output..., kernel...]. Read only, nothing is copied."""
        step = x.strides[2:]
        return as_strided(
            x,
            shape=(*x.shape[:2], *self.output, *self.kernel),
            strides=(
                *x.strides[:2],
                *(s * t for s, t in zip(step, self.strides, strict=True)),
                *(s * d for s, d in zip(step, self.dilations, strict=True)),
            ),
            writeable=False,
        )

    def taps(self, x: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Each tap of the kernel, in row-major order, with the elements of a padded array under it.

        Yields:
            The tap's position in the kernel and a view [N, C, output...].
        """
        axes = tuple(zip(self.dilations, self.output, self.strides, strict=True))
        for tap in np.ndindex(*self.kernel):
            region: list[Any] = [...]
            region += [slice(t * d, t * d + (o - 1) * s + 1, s) for t, (d, o, s) in zip(tap, axes, strict=True)]
            yield tap, x[tuple(region)]

    def position(self, axis: int, tap: int) -> NDArray[np.int64]:
        """Index along a spatial axis of the unpadded input that a tap reads, for each output: [output]."""
        starts = np.arange(self.output[axis], dtype=np.int64) * self.strides[axis] - self.begins[axis]
        return starts + tap * self.dilations[axis]

    def counts(self, include_padding: bool) -> NDArray[np.int64]:
        """How many taps of each window lie in the input, or in the input and its stated padding: [output...].

        What a last window under ceil_mode covers beyond the end padding never counts.
        """
        total = np.ones((1,) * len(self.kernel), dtype=np.int64)
        for axis, taps in enumerate(self.kernel):
            low = -self.begins[axis] if include_padding else 0
            high = self.spatial[axis] + (self.ends[axis] if include_padding else 0)
            positions = np.stack([self.position(axis, tap) for tap in range(taps)])
            along = ((positions >= low) & (positions < high)).sum(axis=0)
            total = total * along.reshape([-1 if i == axis else 1 for i in range(len(self.kernel))])
        return total
