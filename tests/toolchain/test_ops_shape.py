"""Operators that move, select, resample and reduce: against the specification, PyTorch and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from tests.toolchain.operators import agree, bounds, reference, runtime, step
from toolchain.errors import UnsupportedError
from toolchain.ops.operator import Spec

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
IMAGE = np.random.default_rng(11).standard_normal((1, 2, 5, 7)).astype(np.float32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (1, 24)), (1, (2, 12)), (2, (6, 4)), (3, (24, 1)), (-1, (6, 4)), (-3, (1, 24))]
)
def test_flatten_counts_a_negative_axis_from_the_end(axis, shape):
    assert reference("Flatten", [X], {"axis": axis})[0].shape == shape


def test_reshape_copies_for_0_and_fills_for_minus_1():
    assert reference("Reshape", [X, i64(0, -1)])[0].shape == (2, 12)
    assert reference("Reshape", [X], {"shape": [4, -1]}, opset=1)[0].shape == (4, 6)
    empty = np.zeros((0, 3), np.float32)
    assert reference("Reshape", [empty, i64(3, 0)], {"allowzero": 1})[0].shape == (3, 0)
    for wanted, text in ((i64(5, -1), "do not divide"), (i64(-1, -1), "at most one -1"), (i64(0, 0, 0, 0), "lacks")):
        with pytest.raises(UnsupportedError, match=text):
            reference("Reshape", [X, wanted])


def test_squeeze_and_unsqueeze_take_axes_as_attribute_before_13_and_input_after():
    thin = X.reshape(2, 1, 12, 1)
    assert reference("Squeeze", [thin], {"axes": [1]}, opset=11)[0].shape == (2, 12, 1)
    assert reference("Squeeze", [thin, i64(-1)])[0].shape == (2, 1, 12)
    assert reference("Squeeze", [thin])[0].shape == (2, 12)
    assert reference("Unsqueeze", [X], {"axes": [0, 4]}, opset=11)[0].shape == (1, 2, 3, 4, 1)
    assert reference("Unsqueeze", [X, i64(-1, 0)])[0].shape == (1, 2, 3, 4, 1)
    with pytest.raises(UnsupportedError, match="not all are 1"):
        reference("Squeeze", [X, i64(0)])


@pytest.mark.parametrize("step_", [1, 2, 3, -1, -2])
def test_slice_agrees_with_onnx_runtime_far_outside_the_bounds(step_):
    """The one exception: an end of INT64_MAX under a negative step. The specification clamps it to the last element,
    so that nothing is selected; ONNX Runtime takes it for the front."""
    x = np.arange(5, dtype=np.float32)
    furthest = np.iinfo(np.int64)
    if step_ < 0:
        assert reference("Slice", [x, i64(3), i64(furthest.max), i64(0), i64(step_)])[0].size == 0
    for start in range(-8, 9):
        for end in (-9, -6, -5, -2, 0, 3, 5, 9, furthest.max if step_ > 0 else furthest.min):
            args = [x, i64(start), i64(end), i64(0), i64(step_)]
            assert reference("Slice", args)[0].tolist() == runtime("Slice", args)[0].tolist(), (start, end)


def test_split_puts_what_is_left_into_the_last_part():
    x = np.arange(7, dtype=np.float32)
    parts = reference("Split", [x], {"num_outputs": 3}, outputs=3)
    assert [p.tolist() for p in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [p.size for p in reference("Split", [x, i64(2, 5)], outputs=2)] == [2, 5]
    with pytest.raises(UnsupportedError, match="cannot split"):
        reference("Split", [x, i64(2, 4)], outputs=2)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad_agrees_with_numpy_and_onnx_runtime(mode):
    pads = i64(0, 1, 2, 0, 2, 1)
    got = reference("Pad", [X, pads], {"mode": mode}, opset=19)[0]
    assert (got == np.pad(X, [(0, 0), (1, 2), (2, 1)], mode=mode)).all()
    agree("Pad", [X, pads], {"mode": mode}, opset=19)


def test_pad_crops_under_negative_widths_and_takes_axes():
    assert (reference("Pad", [X, i64(-1, 2), f32(7).reshape(()), i64(2)])[0][..., -2:] == 7).all()
    assert reference("Pad", [X, i64(-1, 2), None, i64(-1)])[0].shape == (2, 3, 5)
    assert reference("Pad", [X], {"paddings": [0, 0, 1, 0, 0, 1]}, opset=1)[0].shape == (2, 3, 6)
    assert reference("Pad", [X], {"pads": [0, 0, 1, 0, 0, 1], "value": 2.0}, opset=2)[0][0, 0, 0] == 2


def test_gather_counts_negative_indices_from_the_end_and_refuses_others():
    agree("Gather", [X, np.array([[0, -1], [2, -3]], np.int64)], {"axis": 1})
    agree("GatherElements", [X, np.array([[[0, -1, 2, 1]]], np.int64)], {"axis": 2})
    with pytest.raises(UnsupportedError, match="outside"):
        reference("Gather", [X, i64(3)], {"axis": 1})


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth_undoes_depth_to_space(mode):
    x = np.arange(2 * 8 * 3 * 2, dtype=np.float32).reshape(2, 8, 3, 2)
    y = reference("DepthToSpace", [x], {"blocksize": 2, "mode": mode})[0].astype(np.float32)
    agree("DepthToSpace", [x], {"blocksize": 2, "mode": mode})
    assert (reference("SpaceToDepth", [y], {"blocksize": 2, "mode": mode}, opset=28)[0] == x).all()


def test_moving_operators_agree_with_onnx_runtime():
    agree("Concat", [X, X[:, :1]], {"axis": -2})
    agree("Transpose", [X], {"perm": [2, 0, 1]})
    agree("Transpose", [X])
    agree("Expand", [X[:, :1], i64(3, 1)])
    agree("Tile", [X, i64(1, 2, 3)])
    agree("CumSum", [X, i64(1).reshape(())], {"exclusive": 1, "reverse": 1})
    agree("TopK", [np.round(X % 5), i64(3)], {"axis": 1, "largest": 0}, outputs=2)
    for name in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            agree(name, [np.round(X % 3)], {"axis": 1, "select_last_index": last, "keepdims": 0}, opset=13)


def test_constants_in_every_form():
    for attributes, want in (
        ({"value_float": 1.5}, 1.5),
        ({"value_floats": [1.0, 2.0]}, [1.0, 2.0]),
        ({"value_int": -128}, -128),
        ({"value_ints": [-1, 0, 127]}, [-1, 0, 127]),
    ):
        assert reference("Constant", [], attributes)[0].tolist() == want
    with pytest.raises(UnsupportedError, match="states 2 values"):
        step("Constant", [], {"value_int": 1, "value_float": 1.0})
    assert reference("Shape", [X], {"start": -2})[0].tolist() == [3, 4]
    assert reference("Range", [i64(10).reshape(()), i64(4).reshape(()), i64(-4).reshape(())])[0].tolist() == [10, 6]


def test_cast_saturates_float8_and_truncates_to_integers():
    x = f32(-1e9, -3.99, -0.5, 0.5, 3.99, 449, 1e9, np.inf, np.nan)
    assert reference("Cast", [x[1:5]], {"to": ir.DataType.INT8})[0].tolist() == [-3, 0, 0, 3]
    got = reference("Cast", [x], {"to": ir.DataType.FLOAT8E4M3FN})[0].astype(np.float64)
    assert got[[0, 5, 6, 7]].tolist() == [-448, 448, 448, 448]
    assert np.isnan(got[8])
    free = reference("Cast", [x], {"to": ir.DataType.FLOAT8E4M3FN, "saturate": 0})[0].astype(np.float64)
    assert np.isnan(free[[0, 6, 7, 8]]).all()
    wide = np.array([200, -200, 65535], np.int32)
    assert reference("Cast", [wide], {"to": ir.DataType.INT8})[0].tolist() == [-56, 56, -1]
    assert reference("Cast", [wide], {"to": ir.DataType.INT4})[0].astype(int).tolist() == [-8, -8, -1]
    (limit,) = bounds("Cast", [x], {"to": ir.DataType.INT8})
    assert np.isinf(limit.sound).tolist() == [True, False, False, False, False, True, True, True, True]


def test_cast_to_float16_rounds_half_to_even():
    x = f32(2049, 2051, 65519, 65520)
    assert reference("Cast", [x], {"to": ir.DataType.FLOAT16})[0].tolist() == [2048, 2052, 65504, np.inf]


RESIZE = [
    (mode, coordinate, extra)
    for mode in ("nearest", "linear", "cubic")
    for coordinate in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    for extra in ({}, {"exclude_outside": 1} if mode == "cubic" else {"nearest_mode": "ceil"})
]


@pytest.mark.parametrize(("mode", "coordinate", "extra"), RESIZE, ids=str)
@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.6, 0.5), (1, 1, 1.7, 0.3)], ids=str)
def test_resize_stays_within_the_bound_of_onnx_runtime(mode, coordinate, extra, scales):
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinate, **extra}
    agree("Resize", [IMAGE, None, f32(*scales)], attributes, opset=19)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("size", [(3, 4), (10, 3), (2, 15)], ids=str)
@pytest.mark.parametrize("antialias", [0, 1])
def test_resize_equals_pytorch(mode, size, antialias):
    """PyTorch leaves out what lies beyond the edge when antialiasing: exclude_outside here; its a is -0.5 then."""
    torch = pytest.importorskip("torch")
    attributes = {"mode": mode, "antialias": antialias, "exclude_outside": antialias}
    attributes |= {"cubic_coeff_a": -0.5 if antialias else -0.75}
    sizes = i64(1, 2, *size)
    got = reference("Resize", [IMAGE, None, None, sizes], attributes, opset=19)[0]
    want = torch.nn.functional.interpolate(
        torch.tensor(IMAGE.astype(np.float64)),
        size=size,
        mode={"linear": "bilinear", "cubic": "bicubic"}[mode],
        antialias=bool(antialias),
    )
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-12, atol=1e-12)


def test_resize_align_corners_uses_the_whole_output_size():
    """onnx.reference divides by the fractional size 2.4 and answers 3.14; the specification's length_resized is the
    length of the tensor, 2, and ONNX Runtime and PyTorch answer 4."""
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 2, 4)
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    args = [x, None, f32(1, 1, 0.6, 0.6)]
    assert reference("Resize", args, attributes, opset=19)[0].ravel().tolist() == [1, 4]
    assert runtime("Resize", args, attributes, opset=19)[0].ravel().tolist() == [1, 4]


def test_resize_output_size_is_rounded_like_every_implementation_does():
    """float32(0.7) * 10 lies below 7."""
    x = np.zeros((1, 1, 10, 10), np.float32)
    assert reference("Resize", [x, None, f32(1, 1, 0.7, 0.7)], opset=19)[0].shape == (1, 1, 7, 7)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_keeps_the_aspect_ratio(policy):
    attributes = {"keep_aspect_ratio_policy": policy, "axes": [2, 3], "mode": "nearest"}
    got = reference("Resize", [IMAGE, None, None, i64(10, 10)], attributes, opset=19)[0]
    assert got.shape[2:] == ((7, 10) if policy == "not_larger" else (10, 14))


def test_resize_refuses_to_guess_how_integers_are_rounded():
    with pytest.raises(UnsupportedError, match="does not say how to round"):
        reference("Resize", [IMAGE.astype(np.int8), None, f32(1, 1, 2, 2)], {"mode": "linear"}, opset=19)


def test_upsample_repeats():
    x = f32(1, 2, 3, 4).reshape(1, 1, 2, 2)
    want = np.kron(x[0, 0], np.ones((2, 3)))
    for args, attributes, opset in (
        ([x, f32(1, 1, 2, 3)], {}, 9),
        ([x], {"scales": [1.0, 1.0, 2.0, 3.0]}, 7),
        ([x], {"height_scale": 2.0, "width_scale": 3.0}, 1),
    ):
        assert (reference("Upsample", args, attributes, opset=opset)[0][0, 0] == want).all()


REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axes", [[0], [1, -1], []], ids=str)
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions_agree_with_onnx_runtime(name, axes, keep):
    x = np.random.default_rng(2).uniform(0.1, 2, (3, 4, 5)).astype(np.float32)
    agree(f"Reduce{name}", [x, i64(*axes)], {"keepdims": keep}, opset=18)
    if name != "Sum":
        agree(f"Reduce{name}", [x], {"keepdims": keep, **({"axes": axes} if axes else {})}, opset=11)


def test_reduction_of_no_axes_is_the_identity_under_noop():
    x = f32(-2, 3)
    attributes = {"noop_with_empty_axes": 1}
    assert reference("ReduceSum", [x], attributes)[0].tolist() == [-2, 3]
    assert reference("ReduceSumSquare", [x], attributes)[0].tolist() == [4, 9]
    assert reference("ReduceL1", [x], attributes)[0].tolist() == [2, 3]


def test_reduction_of_nothing():
    x = np.zeros((2, 0), np.float32)
    for name, want in (("Sum", 0), ("Prod", 1), ("Max", -np.inf), ("Min", np.inf), ("LogSum", -np.inf)):
        assert reference(f"Reduce{name}", [x, i64(1)], opset=20)[0].ravel().tolist() == [want] * 2


def test_shapes_are_inferred_through_a_chain_of_constants():
    """Shape, Gather, Concat: what an exporter writes for x.view(x.size(0), -1)."""
    shape = step("Shape", [X])
    (spec,) = shape.operator.infer(shape.attributes, [Spec(ir.DataType.FLOAT, X.shape)])
    gather = step("Gather", [i64(2, 3, 4), i64(0)])
    zero = Spec(ir.DataType.INT64, (1,), i64(0))
    (first,) = gather.operator.infer(gather.attributes, [spec, zero])
    concat = step("Concat", [i64(2), i64(-1)], {"axis": 0})
    (target,) = concat.operator.infer(concat.attributes, [first, Spec(ir.DataType.INT64, (1,), i64(-1))])
    reshape = step("Reshape", [X, i64(2, -1)])
    (result,) = reshape.operator.infer(reshape.attributes, [Spec(ir.DataType.FLOAT, X.shape), target])
    assert result.shape == (2, 12)
    with pytest.raises(ValueError, match="depends on data"):
        reshape.operator.infer(reshape.attributes, [result, Spec(ir.DataType.INT64, (2,))])
