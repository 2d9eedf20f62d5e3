"""What 32-bit offsets cannot reach is refused."""

from __future__ import annotations

import pytest

from toolchain.compile.extent import LARGEST, check_extent
from toolchain.compile.program import Call, Program, Step, struct
from toolchain.compile.tensor import Element, Tensor
from toolchain.errors import UnsupportedError


def _program(size: int, scratch: int = 0) -> Program:
    x, y = Tensor("x", Element.INT8, (1, 4)), Tensor("y", Element.INT8, (1, size))
    call = Call("table_s8", struct("table_s8_layer", count=4), (x,), y, scratch)
    return Program("net", (x,), (y,), (Step("wide_layer", ("node",), call),))


def test_the_largest_that_can_be_reached() -> None:
    check_extent(_program(LARGEST, LARGEST))


@pytest.mark.parametrize(("size", "scratch"), [(LARGEST + 1, 0), (4, LARGEST + 1)])
def test_one_more(size: int, scratch: int) -> None:
    with pytest.raises(UnsupportedError, match="'wide_layer' takes 2147483648 bytes"):
        check_extent(_program(size, scratch))
