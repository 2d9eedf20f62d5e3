"""Quantize, judge, and only then write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx_ir as ir

from toolchain import data as data_module
from toolchain.benchmark import stats
from toolchain.benchmark.timing import interleave, ratios, warm_up
from toolchain.data import Samples
from toolchain.errors import GateFailedError, UsageError
from toolchain.evaluate import Evaluation, evaluate
from toolchain.files import check_output, write_bytes
from toolchain.load import load
from toolchain.progress import Progress, silent
from toolchain.quantize.calibrate import calibration_of, observe, refuse_held_out
from toolchain.quantize.rewrite import (
    QDQ,
    FloatLayer,
    Scheme,
    float_layers,
    inexact_biases,
    observed,
    prepare,
    rewrite,
)
from toolchain.session import Session, SessionOptions, serialized

QUANTIZATION_KEY = "onnx_edge.quantization"
MAX_DROP = 0.1
PER_CHANNEL_OPSET = 13
SPEED_SAMPLES = 400
SPEED_SECONDS = 3.0


@dataclass(frozen=True)
class Speed:
    """Latency before and after, timed alternately in one run.

    Attributes:
        batch: samples a call.
        threads: threads inside an operator; ``None`` if the runtime chose.
        before: median of the float model, seconds.
        after: median of the int8 model, seconds.
        ratio: before / after, the median over pairs of calls: above 1, int8 is faster.
    """

    batch: int
    threads: int | None
    before: stats.Percentile
    after: stats.Percentile
    ratio: stats.Percentile


@dataclass(frozen=True)
class Quantization:
    """An int8 model and what it costs.

    Attributes:
        model: name of the float model.
        output: the file written; ``None`` if none was.
        scheme: types, channels, symmetry, method.
        calibration: the calibration data as it was asked for.
        calibration_samples: their number.
        before: the float model on the test data.
        after: the int8 model on the same.
        agreement: share of the test samples that both answer alike.
        size_before: of the float model's file, bytes.
        size_after: of the int8 model's file, bytes.
        speed: ``None`` if it was not timed.
        float_layers: nodes left in floating point, with reasons.
        max_drop: the greatest loss of top-1 allowed, percentage points.
        notes: what did not pay, or needs care.
        quantized: the int8 model; not in :meth:`to_dict`.
    """

    model: str
    output: Path | None
    scheme: Scheme
    calibration: str
    calibration_samples: int
    before: Evaluation
    after: Evaluation
    agreement: float
    size_before: int
    size_after: int
    speed: Speed | None
    float_layers: tuple[FloatLayer, ...]
    max_drop: float
    notes: tuple[str, ...]
    quantized: ir.Model

    @property
    def drop(self) -> float:
        """Loss of top-1, percentage points; negative is a gain."""
        return 100.0 * (self.before.correct - self.after.correct) / self.before.total

    @property
    def ok(self) -> bool:
        """Whether the loss is within what is allowed."""
        lost = self.before.correct - self.after.correct
        # Counts, not their quotient: a loss of exactly the limit passes whatever the rounding.
        return lost <= self.max_drop * self.before.total / 100.0 + 1e-9

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {
            "ok": self.ok,
            "model": self.model,
            "output": None if self.output is None else str(self.output),
            "scheme": asdict(self.scheme),
            "calibration": self.calibration,
            "calibration_samples": self.calibration_samples,
            "data": self.before.data,
            "total": self.before.total,
            "top1_before": self.before.top1,
            "top1_after": self.after.top1,
            "interval_before": list(self.before.interval),
            "interval_after": list(self.after.interval),
            "drop_points": self.drop,
            "max_drop_points": self.max_drop,
            "agreement": self.agreement,
            "size_before": self.size_before,
            "size_after": self.size_after,
            "speed": None if self.speed is None else asdict(self.speed),
            "float_layers": [asdict(layer) for layer in self.float_layers],
            "notes": list(self.notes),
        }


def quantize(
    model: ir.Model | Path | str,
    *,
    output: Path | str | None = None,
    calibrate: str | Samples | None = None,
    data: str | Samples | None = None,
    scheme: Scheme | None = None,
    exclude: Iterable[str] = (),
    max_drop: float = MAX_DROP,
    keep: bool = False,
    force: bool = False,
    threads: int | None = 1,
    timed: bool = True,
    name: str | None = None,
    progress: Progress | None = None,
) -> Quantization:
    """Make an int8 QDQ model and judge it against the float model.

    Args:
        model: the float model or its file.
        output: the file to write; without one nothing is written.
        calibrate: training data that ranges are observed on; held-out splits are refused. By default the data that a
            network of the zoo was trained on; any other model needs its own.
        data: labelled data to judge on; by default the calibration data's test split.
        scheme: types, channels, symmetry and method.
        exclude: names of nodes to leave in float.
        max_drop: the greatest loss of top-1 allowed, percentage points.
        keep: write the file even if it loses more.
        force: overwrite ``output``.
        threads: threads inside an operator.
        timed: also measure the speed of both.
        name: how the result calls the model; the file's name by default.
        progress: told how far the work is.

    Returns:
        The verdict; ``output`` in it is ``None`` where nothing was written.

    Raises:
        UsageError: calibration on held-out data, no test data, or a quantized model.
        ToolchainError: what loading, the data, the sessions and writing raise.
    """
    scheme, tell = scheme or Scheme(), progress or silent
    scheme.check()
    output = None if output is None else Path(output)
    if output is not None:
        check_output(output, force=force)
    loaded = load(model) if isinstance(model, Path | str) else model
    _check_float(loaded)
    training, test = _data(loaded, calibrate or calibration_of(loaded), data)
    excluded = frozenset(exclude)
    quantized = convert(loaded, training, scheme, excluded, threads=threads, progress=tell)
    label = name or (Path(model).name if isinstance(model, Path | str) else str(loaded.graph.name))
    result = _judge(loaded, quantized, test, threads=threads, timed=timed, progress=tell, name=label)
    result = _completed(result, scheme, training, excluded, max_drop)
    if output is None or not (result.ok or keep):
        return result
    write_bytes(output, serialized(quantized), force=force)
    return replace(result, output=output)


def _completed(
    result: Quantization, scheme: Scheme, training: Samples, exclude: frozenset[str], max_drop: float
) -> Quantization:
    """With what was asked for, and the notes that follow from it."""
    full = replace(
        result,
        scheme=scheme,
        calibration=training.name,
        calibration_samples=len(training),
        float_layers=float_layers(result.quantized, exclude),
        max_drop=max_drop,
    )
    return replace(full, notes=_notes(full))


def _data(model: ir.Model, calibrate: str | Samples, judged: str | Samples | None) -> tuple[Samples, Samples]:
    """Calibration and test samples, from different sets."""
    named = calibrate.name if isinstance(calibrate, Samples) else calibrate
    refuse_held_out(named, None)
    chosen = judged if judged is not None else _test_split(named)
    refuse_held_out(named, chosen.name if isinstance(chosen, Samples) else chosen)
    training, test = (
        given if isinstance(given, Samples) else data_module.samples(model, given) for given in (calibrate, chosen)
    )
    return training, test


def _check_opset(model: ir.Model, scheme: Scheme) -> None:
    """Refuse what QuantizeLinear and DequantizeLinear cannot say in the model's operator set."""
    opset = model.opset_imports.get("", 1)
    if scheme.per_channel and opset < PER_CHANNEL_OPSET:
        raise UsageError(
            f"the model is of opset {opset}; a scale for every channel needs opset {PER_CHANNEL_OPSET}: "
            "convert the model (onnx.version_converter) or export it again, or give --per-tensor"
        )


def convert(
    model: ir.Model,
    training: Samples,
    scheme: Scheme,
    exclude: frozenset[str] = frozenset(),
    *,
    threads: int | None = 1,
    progress: Progress = silent,
) -> ir.Model:
    """Calibrate and rewrite, without judging.

    Args:
        model: the float model; it stays as it is.
        training: calibration samples.
        scheme: types, channels, symmetry and method.
        exclude: names of nodes to leave in float.
        threads: threads inside an operator.
        progress: told how far calibration is.

    Returns:
        The QDQ model; its metadata holds that of ``model`` and ``onnx_edge.quantization``. The same arguments
        give the same bytes.

    Raises:
        GateFailedError: the rewrite left a bias at a scale that integers cannot add exactly.
        UsageError: nothing in the model can be quantized, or its operator set has no per-channel scales.
    """
    _check_opset(model, scheme)
    ready = prepare(model)
    names = observed(ready, exclude)
    if not names:
        raise UsageError("the model has no node that can be quantized; see `onnx-edge inspect`")
    counted = scheme.method != "minmax"
    found = observe(ready, training, names, counted=counted, threads=threads, progress=progress)
    # What comes in has a known range, and few distinct values: clipping it loses, whatever the method.
    inputs = {value.name for value in ready.graph.inputs}
    ranges = {
        tensor: h.range("minmax" if tensor in inputs else scheme.method, scheme.percentile)
        for tensor, h in found.items()
    }
    quantized = rewrite(ready, ranges, scheme, exclude)
    wrong = inexact_biases(quantized)
    if wrong:
        raise GateFailedError(
            f"node {wrong[0]!r}: the bias scale is not input scale times weight scale, so its integers cannot "
            f"be added exactly ({len(wrong)} such nodes); leave it in float with --exclude {wrong[0]}"
        )
    facts = {
        "version": 1,
        "format": "QDQ",
        **asdict(scheme),
        "calibration": training.name,
        "samples": len(training),
    }
    quantized.metadata_props[QUANTIZATION_KEY] = json.dumps(facts, separators=(",", ":"), sort_keys=True)
    return quantized


def _check_float(model: ir.Model) -> None:
    for node in model.graph:
        if node.op_type in QDQ or node.op_type.startswith("QLinear"):
            raise UsageError(
                f"the model is quantized already (node {node.name!r} is {node.op_type}); give the float model"
            )


def _test_split(calibration: str) -> str:
    parts = calibration.split(":")
    if Path(calibration).exists() or len(parts) < 2 or "train" not in parts[1:2]:
        raise UsageError(f"no test data for calibration data {calibration!r}; give it with --data, such as mnist:test")
    return f"{parts[0]}:test"


def _judge(
    model: ir.Model,
    quantized: ir.Model,
    test: Samples,
    *,
    threads: int | None,
    timed: bool,
    progress: Progress,
    name: str,
) -> Quantization:
    def tell(what: str) -> Progress:
        return lambda done, total, _: progress(done, total, what)

    before = evaluate(model, data=test, threads=threads, name=name, progress=tell("judge the float model"))
    after = evaluate(quantized, data=test, threads=threads, name=name, progress=tell("judge the int8 model"))
    contents = serialized(model), serialized(quantized)
    return Quantization(
        model=name,
        output=None,
        scheme=Scheme(),
        calibration="",
        calibration_samples=0,
        before=before,
        after=after,
        agreement=float((before.answers == after.answers).mean()),
        size_before=len(contents[0]),
        size_after=len(contents[1]),
        speed=_speed(model, quantized, test, threads, tell("time both")) if timed else None,
        float_layers=(),
        max_drop=MAX_DROP,
        notes=(),
        quantized=quantized,
    )


def _speed(
    model: ir.Model, quantized: ir.Model, test: Samples, threads: int | None, progress: Progress
) -> Speed | None:
    batch = data_module.batch_of(model) or 1
    _, feeds = next(test.batches(batch, fixed=True))
    sessions = [Session(m, SessionOptions(threads=threads)).native for m in (model, quantized)]
    calls = {
        key: (lambda session=session: session.run(None, feeds))
        for key, session in zip(("before", "after"), sessions, strict=True)
    }
    for call in calls.values():
        warm_up(call)
    times = interleave(calls, samples=SPEED_SAMPLES, seconds=SPEED_SECONDS, progress=progress)
    if len(times["before"]) < stats.MIN_SAMPLES[50.0]:
        return None
    ratio = ratios(times, "before", ["after"])["after"]
    return Speed(batch, threads, stats.median(times["before"]), stats.median(times["after"]), stats.median(ratio))


def _notes(result: Quantization) -> tuple[str, ...]:
    """What did not pay, said plainly."""
    notes = []
    speed = result.speed
    if speed is not None and speed.ratio.high < 1.0:
        notes.append(
            f"int8 is slower than float here at batch {speed.batch}: {speed.ratio.value:.2f}x its speed "
            f"({speed.before.value * 1e6:.0f} us -> {speed.after.value * 1e6:.0f} us, onnxruntime)"
        )
    elif speed is not None and speed.ratio.low <= 1.0:
        notes.append(f"int8 is not measurably faster than float here at batch {speed.batch}")
    if result.size_after >= result.size_before:
        notes.append(f"the int8 file is larger: {result.size_before} -> {result.size_after} bytes")
    notes += [f"{at.node} ({at.op_type}) stays in float: {at.reason}" for at in result.float_layers]
    if result.drop > 0.0:
        lost = result.before.correct - result.after.correct
        notes.append(f"on balance {lost} of {result.before.total} answers that were right are wrong after quantizing")
    if result.scheme.weights == "int8" and not result.scheme.reduce_range and not _has_vnni():
        notes.append(
            "this processor has no 8-bit dot product (VNNI): onnxruntime saturates sums of full-range products "
            "in 16 bits here; --reduce-range avoids it"
        )
    return tuple(notes)


def _has_vnni() -> bool:
    """Whether sums of 8-bit products cannot saturate; true where the processor does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return True
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not flags or "vnni" in flags
