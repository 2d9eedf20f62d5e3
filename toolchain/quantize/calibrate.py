"""Calibration: run the float model on real training data and observe every activation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from models import datasets, zoo
from toolchain.data import Samples, batch_of
from toolchain.errors import FileError, UsageError
from toolchain.progress import Progress
from toolchain.quantize.ranges import Histogram
from toolchain.session import Session, SessionOptions

# Activations of one batch that are held at a time, bytes.
BUDGET = 64 << 20
MAX_BATCH = 64
HELD_OUT = ("test", "validation", "valid", "val")
CALIBRATION_SAMPLES = 512
NETWORK_KEY = "onnx_edge.network"


def calibration_of(model: ir.Model) -> str:
    """The training data of a network of the zoo.

    Raises:
        UsageError: it is another network, whose data nobody but the user knows.
    """
    known = {name: zoo.get(name).data for name in zoo.names()}
    data = known.get(model.metadata_props.get(NETWORK_KEY, ""))
    if data not in datasets.READERS:
        raise UsageError(
            "the ranges of activations are observed on training data, and this model does not say on which it was "
            "trained; give --calibrate NAME:train[:COUNT], a folder of its training pictures, or an .npz"
        )
    return f"{data}:train:{CALIBRATION_SAMPLES}"


def refuse_held_out(calibration: str, judged: str | None) -> None:
    """Refuse to calibrate on what the result is judged on.

    Args:
        calibration: name of the calibration data.
        judged: name of the data that accuracy is measured on.

    Raises:
        UsageError: the split is not for training, or both are the same files.
    """
    parts = calibration.split(":")
    path = Path(calibration if Path(calibration).exists() else calibration.rpartition(":")[0])
    named = path.stem if path.exists() and str(path) not in ("", ".") else parts[1] if len(parts) > 1 else ""
    if named in HELD_OUT:
        raise UsageError(
            f"calibration data {calibration!r} is of split {named!r}, which judges the result; "
            "calibrate on training data, such as mnist:train:512"
        )
    if judged is not None and _stem(calibration) == _stem(judged):
        raise UsageError(
            f"calibration data {calibration!r} and test data {judged!r} are the same; use two different sets"
        )


def _stem(spec: str) -> str:
    """A specification without its count; a path made absolute."""
    head, _, tail = spec.rpartition(":")
    name = head if head and tail.isdigit() else spec
    return str(Path(name).resolve()) if Path(name).exists() else name


def observe(
    model: ir.Model,
    samples: Samples,
    names: Sequence[str],
    *,
    counted: bool,
    threads: int | None = 1,
    progress: Progress,
) -> dict[str, Histogram]:
    """Stream samples through a model and observe tensors.

    The memory needed is that of one batch, chosen to fit a budget, and of a histogram for every tensor.

    Args:
        model: the float model.
        samples: calibration data.
        names: tensors to observe.
        counted: fill the histograms; without, only least and greatest values are kept.
        threads: threads inside an operator.
        progress: told after each batch.

    Raises:
        FileError: a tensor is NaN or infinite; names it.
    """
    found = {name: Histogram() for name in names}
    inputs = {value.name for value in model.graph.inputs}
    outputs = [name for name in names if name not in inputs]
    session = Session(_with_outputs(model, outputs), SessionOptions(threads=threads))
    fixed = batch_of(model)
    batch = fixed or _batch_that_fits(session, samples, outputs)
    done = 0
    for valid, feeds in samples.batches(batch, fixed=fixed is not None):
        tensors = {**feeds, **session.run(feeds, outputs)}
        for name, histogram in found.items():
            # A repeated last sample adds no new values to least and greatest, but must not count twice.
            tensor = tensors[name][:valid] if tensors[name].shape[:1] == (batch,) else tensors[name]
            try:
                histogram.add(tensor, counted=counted)
            except FileError as error:
                raise FileError(f"tensor {name!r} on {samples.name}: {error}") from error
        done += valid
        progress(done, len(samples), "calibrate")
    return found


def _with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    copy = model.clone()
    present = {value.name for value in copy.graph.outputs}
    wanted = set(names) - present
    for node in copy.graph:
        copy.graph.outputs.extend(value for value in node.outputs if value.name in wanted)
    return copy


def _batch_that_fits(session: Session, samples: Samples, outputs: Sequence[str]) -> int:
    feeds = samples.feeds(0, 1)
    size = sum(array.nbytes for array in (*feeds.values(), *session.run(feeds, outputs).values()))
    return max(1, min(MAX_BATCH, BUDGET // max(1, size)))
