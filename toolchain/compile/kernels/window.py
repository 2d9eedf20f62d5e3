"""Windows over maps, as Conv and the pools have them, with the order in which outputs overwrite inputs."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.compile.lowering import Site
from toolchain.compile.tensor import Tensor
from toolchain.ops.windows import Windows


@dataclass(frozen=True)
class Window:
    """Two spatial axes; a map with one has height 1.

    Attributes:
        in_height, in_width, in_channels: of the input.
        out_height, out_width: positions.
        kernel, stride, dilation: rows, columns.
        top, left: padding before the map.
    """

    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    top: int
    left: int

    @property
    def padded(self) -> bool:
        """Whether a window leaves the map."""
        bottom = (self.out_height - 1) * self.stride[0] - self.top + self.dilation[0] * (self.kernel[0] - 1)
        right = (self.out_width - 1) * self.stride[1] - self.left + self.dilation[1] * (self.kernel[1] - 1)
        return self.top > 0 or self.left > 0 or bottom >= self.in_height or right >= self.in_width

    @property
    def apart(self) -> bool:
        """Whether windows do not overlap and tile the map without padding."""
        return not self.padded and self.stride == self.kernel and self.dilation == (1, 1)

    def distance(self, out_row: int, element: int, rows: int = 1) -> int:
        """How far the input has to lie above the output: bytes.

        While output row ``i`` is made, input rows from ``rows * i * stride - top`` on may still be read, and the output
        is written up to its own end.

        Args:
            out_row: bytes of an output row.
            element: bytes of an input element.
            rows: rows of windows that one output row takes (the height of a pool behind it).
        """
        in_row = self.in_width * self.in_channels * element
        count = self.out_height // rows
        return max((i + 1) * out_row - max(0, i * rows * self.stride[0] - self.top) * in_row for i in range(count))


def window(site: Site, windows: Windows, x: Tensor, kernel: tuple[int, ...] | None = None) -> Window:
    """Fix the attributes of a node for its input.

    Raises:
        UnsupportedError: other than one or two spatial axes.
    """
    spatial = x.shape[2:]
    if len(spatial) not in (1, 2):
        raise site.unsupported(f"{len(spatial)} spatial axes", "kernels exist for one and two")
    if x.shape[0] != 1:
        raise site.unsupported(f"a batch of {x.shape[0]} within the network", "kernels compute one sample")
    try:
        g = windows.resolve(spatial, kernel)
    except ValueError as error:
        raise site.unsupported(str(error), "repair the model") from error

    def two(values: tuple[int, ...], missing: int) -> tuple[int, int]:
        return (missing, values[0]) if len(values) == 1 else (values[0], values[1])

    return Window(
        *two(g.spatial, 1),
        x.shape[1],
        *two(g.output, 1),
        two(g.kernel, 1),
        two(g.strides, 1),
        two(g.dilations, 1),
        *two(g.begins, 0),
    )
