"""Element-wise operators against the formula in the specification, PyTorch and ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest

from benchmarks import ulps
from tests.toolchain.operators import agree, bounds, reference, step
from toolchain.errors import UnsupportedError
from toolchain.ops import registry
from toolchain.ops.operator import Spec

EDGES = np.array([-128, -1, 0, 1, 127], dtype=np.int8)
FLOAT_EDGES = np.array(
    [-np.inf, -3.4e38, -128, -3, -1, -1e-30, -1e-45, -0.0, 0.0, 1e-45, 1e-30, 0.5, 1, 2.5, 3, 127, 3.4e38, np.inf],
    dtype=np.float32,
)


@pytest.mark.parametrize("case", ulps.CASES, ids=str)
def test_onnx_runtime_stays_inside_the_ulp_budget(case):
    assert ulps.measure(case, ulps.sweep(65537)).used <= 1.0


@pytest.mark.parametrize("case", [case for case in ulps.CASES if not case.second], ids=str)
def test_a_budget_is_no_wider_than_a_thousandth_where_the_function_is_large(case):
    """A bound that accepts everything would pass the test above."""
    x = np.array([0.5, 1.5, 2.0], dtype=np.float32)
    exact = reference(case.op_type, [x], case.attributes, opset=case.opset)[0]
    (limit,) = bounds(case.op_type, [x], case.attributes, opset=case.opset)
    number = ~np.isnan(exact)
    assert number[0] or case.op_type == "Acosh"
    sound = np.broadcast_to(limit.sound, exact.shape)
    assert (sound[number] <= 1e-4 * np.maximum(np.abs(exact), 1e-2)[number]).all()


def test_erf_and_gelu_are_those_of_the_c_library():
    x = np.linspace(-6, 6, 97).astype(np.float32)
    want = [float(v) * 0.5 * math.erfc(-float(v) / math.sqrt(2)) for v in x]
    np.testing.assert_allclose(reference("Gelu", [x])[0], want, rtol=1e-13)
    np.testing.assert_allclose(reference("Erf", [x])[0], [math.erf(float(v)) for v in x], rtol=1e-15)


def test_activations_equal_pytorch_in_float64():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    x = np.linspace(-9, 9, 181).astype(np.float32)
    t = torch.tensor(x.astype(np.float64))
    alpha = float(np.float32(0.7))
    pairs = [
        (("Elu", {"alpha": 0.7}), f.elu(t, alpha)),
        (("Celu", {"alpha": 0.7}), f.celu(t, alpha)),
        (("Selu", {}), f.selu(t)),
        (("LeakyRelu", {"alpha": 0.7}), f.leaky_relu(t, alpha)),
        (("Softplus", {}), torch.logaddexp(t, torch.zeros(()))),
        (("Softsign", {}), f.softsign(t)),
        (("Mish", {}), f.mish(t)),
        (("HardSwish", {}), f.hardswish(t)),
        (("Gelu", {"approximate": "tanh"}), f.gelu(t, approximate="tanh")),
        (("Gelu", {}), f.gelu(t)),
        (("ThresholdedRelu", {"alpha": 0.7}), f.threshold(t, alpha, 0.0)),
    ]
    for (name, attributes), want in pairs:
        got = reference(name, [x], attributes, opset=22)[0]
        np.testing.assert_allclose(got, want.numpy(), rtol=2e-7 if name == "Selu" else 1e-12, atol=1e-14, err_msg=name)
    swish = reference("Swish", [x], {"alpha": 1.0}, opset=24)[0]
    np.testing.assert_allclose(swish, f.silu(t).numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["Relu", "Abs", "Neg", "Sign"])
def test_int8_edges_wrap_as_two_complement(name):
    want = {
        "Relu": [0, 0, 0, 1, 127],
        "Abs": [-128, 1, 0, 1, 127],
        "Neg": [-128, 1, 0, -1, -127],
        "Sign": [-1, -1, 0, 1, 1],
    }[name]
    assert reference(name, [EDGES])[0].tolist() == want


def test_round_takes_a_tie_to_the_even_neighbour():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997], dtype=np.float32)
    assert reference("Round", [x])[0].tolist() == [-2, -2, 0, 0, 2, 2, 0]


@pytest.mark.parametrize(
    "name", ["Sigmoid", "Tanh", "Mish", "Softplus", "Softsign", "HardSwish", "Gelu", "Elu", "Selu"]
)
def test_no_function_makes_a_nan_of_an_infinity(name):
    assert not np.isnan(reference(name, [FLOAT_EDGES])[0]).any()


def test_nan_stays_nan():
    nan = np.array([np.nan], dtype=np.float32)
    for name in ("Relu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "HardSwish", "Clip", "Elu", "Gelu"):
        assert np.isnan(reference(name, [nan])[0]).all(), name


def test_clip_takes_attributes_before_11_and_inputs_after():
    x = np.array([-3, -1, 0, 2, 9], dtype=np.float32)
    low, high = np.float32(-1).reshape(()), np.float32(2).reshape(())
    want = [-1, -1, 0, 2, 2]
    assert reference("Clip", [x], {"min": -1.0, "max": 2.0}, opset=6)[0].tolist() == want
    assert reference("Clip", [x, low, high], opset=13)[0].tolist() == want
    assert reference("Clip", [x, None, high], opset=13)[0].tolist() == [-3, -1, 0, 2, 2]
    assert reference("Clip", [x, high, low], opset=13)[0].tolist() == [-1] * 5, (
        "high wins over low, as in numpy and ORT"
    )
    assert reference("Clip", [EDGES, EDGES[1], EDGES[3]], opset=13)[0].tolist() == [-1, -1, 0, 1, 1]


def test_old_broadcast_begins_at_axis():
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    b = np.array([10, 20, 30], dtype=np.float32)
    got = reference("Add", [a, b], {"broadcast": 1, "axis": 1}, opset=6)[0]
    assert (got == a + b[None, :, None]).all()
    suffix = np.array([1, 2, 3, 4], dtype=np.float32)
    assert (reference("Mul", [a, suffix], {"broadcast": 1}, opset=6)[0] == a * suffix).all()
    with pytest.raises(UnsupportedError, match="broadcast = 1"):
        reference("Add", [a, suffix], opset=6)


def test_integer_division_truncates_towards_zero():
    a = np.repeat(np.array([-128, -7, -1, 0, 1, 7, 127], dtype=np.int8), 4)
    b = np.tile(np.array([-3, -2, 2, 127], dtype=np.int8), 7)
    want = [math.trunc(int(p) / int(q)) for p, q in zip(a, b, strict=True)]
    assert reference("Div", [a, b])[0].tolist() == want
    with pytest.raises(UnsupportedError, match="division by zero"):
        reference("Div", [a, np.zeros_like(b)])


def test_mod_has_the_sign_of_the_divisor_or_of_the_dividend():
    a, b = np.array([-7, 7, -128, 127], np.int8), np.array([3, -3, 127, -128], np.int8)
    assert reference("Mod", [a, b])[0].tolist() == [int(x) % int(y) for x, y in zip(a, b, strict=True)]
    assert reference("Mod", [a, b], {"fmod": 1})[0].tolist() == [
        int(math.fmod(x, y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]


def test_arithmetic_and_comparisons_agree_with_onnx_runtime():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((2, 3, 4)).astype(np.float32)
    b = rng.standard_normal((3, 1)).astype(np.float32)
    for name in ("Add", "Sub", "Mul", "Div", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
        agree(name, [a, b])
    agree("Pow", [np.abs(a), b])
    agree("PRelu", [a, b])
    agree("Where", [a > 0, a, b])
    for name in ("Min", "Max", "Sum", "Mean"):
        agree(name, [a, b, a[:1]])


def test_bit_shift_past_the_width_leaves_the_sign():
    x = np.array([-128, -1, 1, 127], dtype=np.int8)
    eight = np.full(4, 8, dtype=np.int8)
    assert reference("BitShift", [x, eight], {"direction": "RIGHT"}, opset=28)[0].tolist() == [-1, -1, 0, 0]
    assert reference("BitShift", [x, eight], {"direction": "LEFT"}, opset=28)[0].tolist() == [0, 0, 0, 0]


def test_an_unknown_word_is_refused_with_the_node_named():
    with pytest.raises(UnsupportedError, match=r"node 'node' \(Gelu-20\): approximate is 'cubic'"):
        step("Gelu", [FLOAT_EDGES], {"approximate": "cubic"})


def test_spreads_contain_what_a_perturbed_input_does():
    rng = np.random.default_rng(5)
    x = rng.uniform(0.2, 3, (4, 5)).astype(np.float32)
    names = [n for (d, n), o in registry().items() if not d and o.spread is not None]
    chosen = [n for n in ulps.FUNCTIONS if n in names and n not in ("Acosh", "Asin", "Acos", "Atanh")]
    assert len(chosen) > 20
    for name in chosen:
        it = step(name, [x], opset=22)
        error = np.full(x.shape, 0.05)
        wide = x.astype(np.float64)
        (limit,) = it.operator.spread(it.operator, it.attributes, [wide], [error], 2.0**-24)
        (exact,) = it.operator.evaluate(it.attributes, [wide])
        for _ in range(8):
            (moved,) = it.operator.evaluate(it.attributes, [wide + rng.uniform(-1, 1, x.shape) * error])
            assert (np.abs(moved - exact) <= limit + 1e-12).all(), name


def test_a_normalisation_whose_base_may_round_to_nothing_has_no_limit():
    # Channels 2 and 3 see no large neighbour, but a sum that slides along the channels has seen one.
    x = np.zeros((1, 4, 1, 1), np.float32)
    x[0, 0], x[0, 3] = 1e3, 1e-30
    it = step("LRN", [x], {"size": 3, "alpha": 0.5, "bias": 0.0})
    with np.errstate(all="ignore"):
        exact = it.operator.evaluate(it.attributes, [x.astype(np.float64)])
        (limit,) = it.operator.bound(it.attributes, [x.astype(np.float64)], exact, 2.0**-24)
    assert exact[0][0, 2] == 0.0
    assert np.isfinite(limit.sound[0, :2]).all()
    assert np.isposinf(limit.sound[0, 2:]).all()


def test_infer_gives_what_evaluate_gives():
    x = np.zeros((2, 1, 4), np.float32)
    it = step("Less", [x, x])
    spec = Spec(ir.DataType.FLOAT, x.shape)
    assert it.operator.infer(it.attributes, [spec, spec]) == (Spec(ir.DataType.BOOL, (2, 1, 4)),)
