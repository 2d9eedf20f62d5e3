"""The Python module beside the shared library."""

from __future__ import annotations

import gc
import importlib.util
from types import ModuleType

import numpy as np
import pytest

from tests.compile.test_float_wide import network
from toolchain.compile import compile as compile_model
from toolchain.compile.options import Options


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Of a network with an input [1, 1, 24, 26]."""
    folder = tmp_path_factory.mktemp("wrapper") / "c"
    compile_model(network(), output=folder, options=Options("net", march="x86-64" if _is_pc() else None))
    spec = importlib.util.spec_from_file_location("net", folder / "net.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def _is_pc() -> bool:
    import platform

    return platform.machine() == "x86_64"


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 1, 24, 26)).astype(np.float32)


def test_a_call_takes_any_array_of_the_shape(module: ModuleType) -> None:
    image = _image()
    (expected,) = (y.copy() for y in module.net(image))
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 0
    frozen = image.copy()
    frozen.setflags(write=False)
    for other in (frozen, np.asfortranarray(image), np.repeat(image, 2, axis=3)[..., ::2]):
        np.testing.assert_array_equal(module.net(other)[0], expected)


def test_a_bound_call_reads_and_writes_the_same_arrays(module: ModuleType) -> None:
    image = np.zeros_like(_image())
    run, y = module.Network().bind(image)
    assert run() is None
    for seed in (1, 2):
        image[...] = _image(seed)
        gc.collect()
        run()
        np.testing.assert_array_equal(y, module.net(_image(seed))[0])


def test_a_bound_call_keeps_its_arrays(module: ModuleType) -> None:
    """Without another reference to the input, the network and its output."""
    run = module.Network().bind(_image(3))[0]
    gc.collect()
    run()
    network, (image,) = run.arrays
    np.testing.assert_array_equal(image, _image(3))
    np.testing.assert_array_equal(network._outputs[0], module.net(_image(3))[0])


@pytest.mark.parametrize("verb", ["__call__", "bind"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((), TypeError, "expected 1 inputs, received 0"),
        ((_image(), _image()), TypeError, "expected 1 inputs, received 2"),
        ((_image().astype(np.float64),), ValueError, r"x: expected float32 \[1, 1, 24, 26\], received float64"),
        ((_image()[..., 1:],), ValueError, r"x: expected float32 \[1, 1, 24, 26\], received float32 \[1, 1, 24, 25\]"),
    ],
)
def test_other_arrays_are_refused(
    module: ModuleType, verb: str, given: tuple, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(module.net, verb)(*given)


def test_binding_needs_elements_side_by_side(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="x: its elements do not lie side by side"):
        module.net.bind(np.repeat(_image(), 2, axis=3)[..., ::2])
