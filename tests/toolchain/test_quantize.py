from __future__ import annotations

import json
import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.conftest import Exported, RunCli
from tests.toolchain import digits
from toolchain import data
from toolchain.errors import FileError, OutputExistsError, UnknownNameError, UsageError
from toolchain.load import load
from toolchain.quantize import Scheme, quantize
from toolchain.quantize.calibrate import calibration_of, observe
from toolchain.quantize.ranges import METHODS, Histogram, Range
from toolchain.quantize.rewrite import float_layers, inexact_biases, observed, prepare
from toolchain.quantize.static import convert
from toolchain.reference import Reference
from toolchain.session import Session, SessionOptions, serialized

FLOATS = hnp.arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**99), max_value=2.0**99),
)


def quiet(done: int, total: int, what: str) -> None:
    assert 0 <= done <= total
    assert what


def histogram(*parts: np.ndarray) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


def same(first: Histogram, second: Histogram) -> bool:
    return (first.exponent, first.low, first.high) == (
        second.exponent,
        second.low,
        second.high,
    ) and np.array_equal(first.counts, second.counts)


@given(FLOATS, st.data())
@settings(deadline=None, max_examples=150)
def test_histograms_merge_exactly_in_any_order(values: np.ndarray, drawn: st.DataObject) -> None:
    cut = drawn.draw(st.integers(0, len(values)))
    whole = histogram(values)
    merged = histogram(values[cut:])
    merged.merge(histogram(values[:cut]))
    assert same(merged, whole)
    assert same(histogram(*(values[i : i + 1] for i in reversed(range(len(values))))), whole)
    assert whole.counts.sum() == len(values)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, 127.0, -128.0, 1e-45, -1e-45, 3.4e38, -3.4e38, 0.1])
def test_every_value_has_a_bin(value: float) -> None:
    made = histogram(np.array([value], np.float32))
    assert made.counts.sum() == 1
    index = int(np.flatnonzero(made.counts)[0]) - 2048
    assert index * made.width <= float(np.float32(value)) < (index + 1) * made.width
    wider = histogram(np.array([value], np.float32), np.array([3e38, -3e38], np.float32))
    assert wider.counts.sum() == 3


@given(FLOATS)
@settings(deadline=None, max_examples=40)
def test_ranges_hold_zero_and_lie_within_least_and_greatest(values: np.ndarray) -> None:
    made = histogram(values)
    full = made.range("minmax")
    assert full == Range(min(0.0, float(values.min())), max(0.0, float(values.max())))
    for method in METHODS:
        found = made.range(method)
        assert full.low <= found.low <= 0.0 <= found.high <= full.high
    assert made.range("percentile", 100.0) == full


def test_percentile_cuts_as_much_as_asked_for() -> None:
    values = np.concatenate([np.linspace(0, 1, 100_000), [50.0]]).astype(np.float32)
    made = histogram(values)
    assert made.range("minmax").high == 50.0
    assert 1.0 <= made.range("percentile", 99.99).high < 1.1
    kept = np.mean((values >= 0) & (values <= made.range("percentile", 99.0).high))
    assert kept >= 0.99


def test_entropy_clips_a_long_tail_and_keeps_a_flat_distribution() -> None:
    generator = np.random.default_rng(0)
    long = generator.laplace(0.0, 1.0, 400_000).astype(np.float32)
    bound = histogram(long).range("entropy").high
    assert 4.0 < bound < float(np.abs(long).max())
    flat = generator.uniform(-1.0, 1.0, 400_000).astype(np.float32)
    assert histogram(flat).range("entropy").high == pytest.approx(1.0, abs=0.02)


def test_no_values_and_bad_values() -> None:
    assert Histogram().range("minmax") == Range(0.0, 0.0)
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(FileError, match="NaN or infinite"):
            histogram(np.array([0.0, bad], np.float32))
    with pytest.raises(UnknownNameError, match="did you mean 'entropy'"):
        histogram(np.ones(2, np.float32)).range("entrpy")


@pytest.mark.parametrize("batch", [None, 7])
def test_observed_ranges_are_those_of_the_reference(batch: int | None) -> None:
    model = prepare(digits.model(batch=batch))
    names = observed(model)
    samples = data.samples(model, "mnist:train:21")
    found = observe(model, samples, names, counted=True, progress=quiet)
    reference = Reference(model)
    seen = [reference.run(feeds, keep=names) for _, feeds in samples.batches(7)]
    for name in names:
        parts = [samples.tensor] if name == "image" else [tensors[name] for tensors in seen]
        values = np.concatenate([part.ravel() for part in parts])
        assert found[name].low == pytest.approx(values.min(), rel=1e-4, abs=1e-5)
        assert found[name].high == pytest.approx(values.max(), rel=1e-4, abs=1e-5)
        assert found[name].counts.sum() == values.size


def test_calibration_holds_one_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = prepare(digits.model())
    sizes: list[int] = []
    run = Session.run

    def spied(self: Session, feeds: dict[str, np.ndarray], outputs: list[str]) -> dict[str, np.ndarray]:
        sizes.append(len(feeds["image"]))
        return run(self, feeds, outputs)

    monkeypatch.setattr(Session, "run", spied)
    monkeypatch.setattr(sys.modules[observe.__module__], "BUDGET", 200_000)
    observe(model, data.samples(model, "mnist:train:32"), observed(model), counted=False, progress=quiet)
    assert sum(sizes[1:]) == 32
    assert max(sizes) < 8


def test_batch_normalisation_is_folded_without_a_change() -> None:
    model = digits.model()
    ready = prepare(model)
    assert "BatchNormalization" in {node.op_type for node in model.graph}
    assert "BatchNormalization" not in {node.op_type for node in ready.graph}
    feeds = data.samples(model, "mnist:train:8").feeds(0, 8)
    before, after = (Reference(m).run(feeds)["scores"] for m in (model, ready))
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-5)
    assert dict(ready.metadata_props) == dict(model.metadata_props)


def converted(**options: object) -> ir.Model:
    model = digits.model()
    return convert(model, data.samples(model, "mnist:train:64"), Scheme(**options))  # type: ignore[arg-type]


def constants(model: ir.Model) -> dict[str, np.ndarray]:
    return {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }


@pytest.mark.parametrize("activations", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_scheme_is_what_the_model_holds(activations: str, per_channel: bool) -> None:
    model = converted(activations=activations, per_channel=per_channel)
    held = constants(model)
    weight = next(array for array in held.values() if array.shape == (8, 1, 5, 5))
    assert weight.dtype == np.int8
    assert int(weight.min()) >= -64
    assert int(weight.max()) <= 64
    scales = [array for name, array in held.items() if name.startswith("filters") and "scale" in name]
    assert any(array.shape == ((8,) if per_channel else ()) for array in scales)
    zeros = {array.dtype for name, array in held.items() if name.startswith("image") and "zero_point" in name}
    assert zeros == {np.dtype(activations)}
    assert {node.op_type for node in model.graph} == {
        *("QuantizeLinear", "DequantizeLinear", "Conv", "MaxPool", "Flatten", "Gemm")
    }
    assert float_layers(model) == ()


def test_bias_scales_are_the_nearest_float32_of_the_product() -> None:
    model = converted()
    assert inexact_biases(model) == ()
    checked = 0
    for node in model.graph:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        x, w, b = (
            value.producer().inputs[1].const_value.numpy().ravel()  # type: ignore[union-attr]
            for value in node.inputs
        )
        for sw, sb in zip(w, b, strict=True):
            product = Fraction(float(x[0])) * Fraction(float(sw))
            error = abs(Fraction(float(sb)) - product)
            assert error <= abs(Fraction(float(np.nextafter(sb, np.float32(np.inf)))) - product)
            assert error <= abs(Fraction(float(np.nextafter(sb, np.float32(0.0)))) - product)
            checked += 1
    assert checked == 8 + 10


def test_a_bias_at_another_scale_is_found() -> None:
    model = converted()
    conv = next(node for node in model.graph if node.op_type == "Conv")
    scale = conv.inputs[2].producer().inputs[1]  # type: ignore[union-attr]
    moved = np.nextafter(scale.const_value.numpy(), np.float32(1.0))
    scale.const_value = ir.tensor(moved, name=scale.name)
    assert inexact_biases(model) == (conv.name,)


def test_repeated_conversion_gives_the_same_bytes() -> None:
    assert serialized(converted()) == serialized(converted())


def test_metadata_is_carried_over_and_completed() -> None:
    facts = dict(converted(method="percentile").metadata_props)
    assert facts["onnx_edge.input"] == digits.INPUT.to_json()
    assert "onnx_edge.labels" in facts
    assert set(facts) == {"onnx_edge.input", "onnx_edge.labels", "onnx_edge.quantization"}
    how = json.loads(facts["onnx_edge.quantization"])
    assert how["method"] == "percentile"
    assert (how["calibration"], how["samples"]) == ("mnist:train:64", 64)
    assert (how["activations"], how["weights"], how["per_channel"]) == ("int8", "int8", True)


def test_reduced_range_gives_one_answer_whatever_the_kernel() -> None:
    model = converted()
    feeds = data.samples(model, "mnist:test:200").feeds(0, 200)
    fused, plain = (Session(model, SessionOptions(optimization=level)).run(feeds)["scores"] for level in ("all", "off"))
    step = np.unique(np.abs(np.diff(np.unique(plain)))).min()
    assert np.abs(fused - plain).max() <= 2.01 * step
    assert (fused.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.985


def test_a_float_layer_is_named_with_its_reason(tmp_path: Path) -> None:
    result = quantize(
        digits.model(softmax=True),
        calibrate="mnist:train:64",
        data="mnist:test:200",
        exclude=["conv"],
        timed=False,
        max_drop=5,
    )
    reasons = {layer.op_type: layer.reason for layer in result.float_layers}
    assert reasons["Conv"] == "excluded on request"
    assert "no exact 8-bit form" in reasons["Softmax"]
    assert any("stays in float" in note for note in result.notes)
    with pytest.raises(UnknownNameError, match="did you mean 'conv'"):
        quantize(digits.model(), calibrate="mnist:train:8", exclude=["cnov"])


def test_the_gate_decides_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "q.onnx"
    arguments = {"calibrate": "mnist:train:64", "data": "mnist:test:400", "timed": False}
    bad = Scheme(method="percentile", percentile=60.0)
    failed = quantize(digits.model(), output=path, scheme=bad, **arguments)  # type: ignore[arg-type]
    assert not failed.ok
    assert failed.drop > 0.1
    assert failed.output is None
    assert not path.exists()
    kept = quantize(digits.model(), output=path, scheme=bad, keep=True, **arguments)  # type: ignore[arg-type]
    assert not kept.ok
    assert path.exists()
    with pytest.raises(OutputExistsError):
        quantize(digits.model(), output=path, **arguments)  # type: ignore[arg-type]
    good = quantize(digits.model(), output=path, force=True, max_drop=1.0, **arguments)  # type: ignore[arg-type]
    assert good.ok
    assert good.size_after == path.stat().st_size < good.size_before
    with pytest.raises(UsageError, match="quantized already"):
        quantize(path, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calibrate", "judged", "message"),
    [
        ("mnist:test:64", None, "split 'test'|no test data"),
        ("mnist:validation", "mnist:test", "split 'validation'"),
        ("mnist:train:64", "mnist:train", "are the same"),
    ],
)
def test_held_out_data_never_calibrates(calibrate: str, judged: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        quantize(digits.model(), calibrate=calibrate, data=judged)


def test_a_model_of_the_users_own_needs_its_own_data(exported: Exported) -> None:
    """Ranges of somebody else's pictures would quantize it wrongly without a word."""
    with pytest.raises(UsageError, match="give --calibrate NAME:train"):
        quantize(digits.model())
    assert calibration_of(load(exported("lenet5"))) == "mnist:train:512"
    assert calibration_of(load(exported("lenet5-fashion"))) == "fashion-mnist:train:512"


@pytest.mark.parametrize("name", ["test", "val"])
def test_held_out_folders_never_calibrate(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.npz"
    np.savez(path, image=np.zeros((2, 1, 28, 28), np.float32))
    with pytest.raises(UsageError, match="judges the result"):
        quantize(digits.model(), calibrate=str(path), data="mnist:test:8")


@pytest.mark.parametrize("net", ["lenet5", "example-cnn"])
def test_trained_networks_lose_at_most_a_tenth_of_a_point(exported: Exported, net: str) -> None:
    result = quantize(exported(net), calibrate="mnist:train:512", data="mnist:test", timed=False)
    assert result.before.total == 10_000
    assert result.ok
    assert result.drop <= 0.1
    assert result.agreement >= 0.995
    assert result.float_layers == ()
    assert result.size_after < result.size_before / 2


def test_command_line(run_cli: RunCli, tmp_path: Path) -> None:
    path, out = digits.write(tmp_path / "digits.onnx"), tmp_path / "q.onnx"
    common = ("--calibrate", "mnist:train:64", "--data", "mnist:test:300", "--max-drop", "1")
    done = run_cli("quantize", path, "-o", out, *common)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "top-1" in done.stdout
    assert "faster" in done.stdout or "as fast" in done.stdout
    assert load(out).metadata_props["onnx_edge.quantization"]
    again = run_cli("quantize", path, "-o", out, *common)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    failed = run_cli(
        *("quantize", path, "-o", tmp_path / "bad.onnx", *common, "--no-timing", "--json"),
        *("--method", "percentile", "--percentile", "60"),
    )
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["ok"] is False
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits.onnx", "q.onnx"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--method", "minmx"), 2, "did you mean 'minmax'"),
        (("--weights", "int4"), 2, "did you mean 'int8'"),
        (("--calibrate", "mnist:test:8", "--data", "mnist:test"), 2, "judges the result"),
        (("--method", "percentile", "--percentile", "10"), 2, "expected more than 50"),
        (("-o", "no/such/folder/q.onnx"), 5, "does not exist"),
    ],
)
def test_bad_input(run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    done = run_cli("quantize", path, "-o", tmp_path / "q.onnx", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "q.onnx").exists()
