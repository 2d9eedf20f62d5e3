"""Top-1 accuracy with a confidence interval, per class, with loss and calibration; and how sure the answers are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain import data as data_module
from toolchain.data import Samples
from toolchain.errors import FileError, ShapeError, UsageError
from toolchain.load import load
from toolchain.margins import Margins, margins
from toolchain.progress import Progress, silent
from toolchain.session import Session, SessionOptions

Array = NDArray[Any]

BATCH = 64
CONFIDENCE = 0.95
# The two-sided 95% quantile of the normal distribution.
Z_95 = 1.959963984540054
CALIBRATION_BINS = 15
PASSED_THROUGH = frozenset({"QuantizeLinear", "DequantizeLinear", "Identity", "Cast"})


@dataclass(frozen=True)
class ClassResult:
    """How one class fared.

    Attributes:
        label: its name.
        total: samples of the class.
        correct: of these, answered right.
        answered: how often the model gave this answer.
    """

    label: str
    total: int
    correct: int
    answered: int

    @property
    def recall(self) -> float | None:
        """Correct / total; ``None`` without samples."""
        return self.correct / self.total if self.total else None

    @property
    def precision(self) -> float | None:
        """Correct / answered; ``None`` if the answer was never given."""
        return self.correct / self.answered if self.answered else None


@dataclass(frozen=True)
class Evaluation:
    """What a model answers on labelled data.

    Attributes:
        model: name of the file, or of the network.
        data: the data set as it was asked for.
        backend: what ran the model.
        correct: samples answered right.
        total: samples.
        interval: of top-1 at 95% (Wilson).
        loss: mean cross-entropy, nats.
        calibration_error: expected calibration error over 15 bins (Guo et al., 2017): the mean distance of
            the stated probability from the share that is right.
        classes: in the order of the outputs.
        confusion: samples of class [row] answered as [column].
        answers: int64 [N], the class of each sample; not in :meth:`to_dict`.
        margins: how many answers no legal rounding can change; ``None`` if not asked for.
    """

    model: str
    data: str
    backend: str
    correct: int
    total: int
    interval: tuple[float, float]
    loss: float
    calibration_error: float
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    answers: NDArray[np.int64]
    margins: Margins | None = None

    @property
    def ok(self) -> bool:
        """No answer that is certain was given differently."""
        return self.margins is None or self.margins.ok

    @property
    def top1(self) -> float:
        """The share answered right, 0..1."""
        return self.correct / self.total

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {
            "model": self.model,
            "data": self.data,
            "backend": self.backend,
            "top1": self.top1,
            "correct": self.correct,
            "total": self.total,
            "confidence": CONFIDENCE,
            "interval": list(self.interval),
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "classes": [{**asdict(c), "recall": c.recall, "precision": c.precision} for c in self.classes],
            "confusion": [list(row) for row in self.confusion],
            "margins": None if self.margins is None else self.margins.to_dict(),
        }


def evaluate(
    model: ir.Model | Path | str,
    *,
    data: str | Samples,
    provider: str = "cpu",
    threads: int | None = 1,
    batch: int = BATCH,
    net: str | None = None,
    name: str | None = None,
    arithmetic: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a classifier on labelled data.

    Args:
        model: an ONNX model or file, or with ``net`` a ``.safetensors`` file of weights, run by PyTorch.
        data: a data set as :func:`toolchain.data.samples` takes it, or samples.
        provider: execution provider of ONNX Runtime.
        threads: threads inside an operator; ``None`` leaves the choice to the runtime.
        batch: samples at a time, where the model leaves it free.
        net: the network that the weights belong to.
        name: how the result calls the model; the file's name by default.
        arithmetic: also count the answers that no rounding of this arithmetic can change (:mod:`toolchain.margins`).
        progress: told after each batch.

    Raises:
        UsageError: data without labels, weights without ``net``, or ``arithmetic`` with weights.
        ShapeError: the model does not give scores [N, classes], or the labels do not fit them.
        ToolchainError: what loading, the data and the session raise.
    """
    if isinstance(model, Path | str) and Path(model).suffix == ".safetensors":
        if arithmetic is not None:
            raise UsageError("margins are those of an ONNX file; export the weights first")
        return _evaluate_weights(Path(model), net, data, batch, name, progress or silent)
    if net is not None:
        raise UsageError("--net names the network of a .safetensors file; an ONNX file needs none")
    loaded = load(model) if isinstance(model, Path | str) else model
    chosen = data if isinstance(data, Samples) else data_module.samples(loaded, data)
    labels = _labels(chosen)
    scores = score(loaded, chosen, provider=provider, threads=threads, batch=batch, progress=progress)
    found = judge(
        scores,
        labels,
        model=name or (Path(model).name if isinstance(model, Path | str) else str(loaded.graph.name)),
        data=chosen.name,
        backend=f"onnxruntime, {provider}",
        names=data_module.labels_of(loaded),
        kind=score_kind(loaded),
    )
    if arithmetic is None:
        return found
    sure = margins(loaded, data=chosen, arithmetic=arithmetic, received=found.answers, progress=progress)
    return replace(found, margins=sure)


def score(
    model: ir.Model,
    samples: Samples,
    *,
    provider: str = "cpu",
    threads: int | None = 1,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Array:
    """The model's first output for every sample, float64 [N, classes].

    Raises:
        UsageError: the session refuses the samples.
        ShapeError: the output is no [N, classes].
        FileError: a score is NaN or infinite.
    """
    session = Session(model, SessionOptions(provider=provider, threads=threads))
    output = session.outputs[0]
    fixed = data_module.batch_of(model)
    return _collect(
        lambda feeds: session.run(feeds, [output])[output],
        samples,
        fixed or batch,
        fixed is not None,
        progress or silent,
    )


def judge(
    scores: Array,
    labels: NDArray[np.int64],
    *,
    model: str,
    data: str,
    backend: str,
    names: tuple[str, ...] | None = None,
    kind: str = "logits",
) -> Evaluation:
    """Count right answers.

    Args:
        scores: [N, classes]; the answer is the first of the largest.
        labels: int64 [N].
        model: for the result.
        data: for the result.
        backend: for the result.
        names: of the classes; numbers by default.
        kind: ``logits``, ``probabilities`` or ``log-probabilities``.

    Raises:
        ShapeError: labels that the scores have no column for, or other names than columns.
    """
    count, width = scores.shape
    names = names or tuple(map(str, range(width)))
    if len(names) != width:
        raise ShapeError(f"the model has {width} outputs and {len(names)} labels; export it again")
    if int(labels.max(initial=0)) >= width:
        raise ShapeError(
            f"{data} has label {labels.max()}, the model answers with 0..{width - 1}; give data of its classes"
        )
    answers = scores.argmax(axis=1).astype(np.int64)
    confusion = np.zeros((width, width), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    right = answers == labels
    log_probabilities = _log_probabilities(scores, kind)
    confidence = np.exp(log_probabilities[np.arange(count), answers])
    return Evaluation(
        model=model,
        data=data,
        backend=backend,
        correct=int(right.sum()),
        total=count,
        interval=wilson(int(right.sum()), count),
        loss=float(-log_probabilities[np.arange(count), labels].mean()),
        calibration_error=_calibration_error(confidence, right),
        classes=tuple(
            ClassResult(label, int(confusion[i].sum()), int(confusion[i, i]), int(confusion[:, i].sum()))
            for i, label in enumerate(names)
        ),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        answers=answers,
    )


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95% confidence interval of a share (E. B. Wilson, 1927).

    Args:
        correct: successes.
        total: trials, at least 1.
    """
    share, z2 = correct / total, Z_95 * Z_95
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    # At the ends the formula is exact: rounding must not move it inside.
    low = 0.0 if correct == 0 else max(0.0, middle - half)
    return low, 1.0 if correct == total else min(1.0, middle + half)


def score_kind(model: ir.Model) -> str:
    """What the first output holds: ``logits``, ``probabilities`` or ``log-probabilities``."""
    node = model.graph.outputs[0].producer()
    while node is not None and node.op_type in PASSED_THROUGH and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    kinds = {"Softmax": "probabilities", "LogSoftmax": "log-probabilities"}
    return kinds.get(node.op_type, "logits") if node is not None else "logits"


def probabilities(scores: Array, kind: str) -> Array:
    """Scores [N, classes] as probabilities, float64 [N, classes]."""
    return np.asarray(np.exp(_log_probabilities(scores, kind)))


def _log_probabilities(scores: Array, kind: str) -> Array:
    wide = scores.astype(np.float64)
    if kind == "log-probabilities":
        return wide
    if kind == "probabilities":
        # A probability of 0 would make the loss infinite: a float32 softmax underflows there.
        return np.asarray(np.log(np.maximum(wide, float(np.finfo(np.float32).tiny))))
    shifted = wide - wide.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _calibration_error(confidence: Array, right: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    stated = np.bincount(bins, confidence, CALIBRATION_BINS)
    found = np.bincount(bins, right, CALIBRATION_BINS)
    return float(np.abs(stated - found).sum() / len(right))


def _labels(samples: Samples) -> NDArray[np.int64]:
    if samples.labels is None:
        raise UsageError(
            f"{samples.name} has no labels, so answers cannot be counted as right or wrong; "
            "give a data set, a folder with one sub-folder per class, or an .npz with the array 'labels'"
        )
    return samples.labels


def _collect(
    run: Callable[[dict[str, Array]], Array], samples: Samples, batch: int, fixed: bool, progress: Progress
) -> Array:
    parts, done = [], 0
    for valid, feeds in samples.batches(batch, fixed=fixed):
        output = run(feeds)
        rows = len(next(iter(feeds.values())))
        if output.ndim < 2 or output.shape[0] != rows or output.size != rows * output.shape[1]:
            raise ShapeError(
                f"the model's first output has shape {list(output.shape)}, expected scores "
                f"[{rows}, classes]; only classifiers can be evaluated"
            )
        parts.append(_finite(output.reshape(rows, -1)[:valid].astype(np.float64), samples.name))
        done += valid
        progress(done, len(samples), "evaluate")
    return np.concatenate(parts)


def _finite(scores: Array, name: str) -> Array:
    """Refuse scores that no answer follows from; minus infinity is the logarithm of a probability of 0."""
    broken = np.isnan(scores) | np.isposinf(scores)
    if broken.any():
        raise FileError(
            f"on {name} {int(broken.sum())} of {scores.size} scores are NaN or infinite; check weights and data"
        )
    return scores


def _evaluate_weights(
    path: Path, net: str | None, data: str | Samples, batch: int, name: str | None, progress: Progress
) -> Evaluation:
    """Weights in PyTorch, by way of ``models.zoo``: torch itself is not imported here."""
    if net is None:
        raise UsageError(f"{path} holds weights; name their network with --net")
    from models import datasets, zoo

    network = zoo.get(net)
    module = zoo.module(network, path)
    torch = zoo.import_torch()
    if isinstance(data, str):
        found = datasets.load(data, input=network.input)
        labels = data_module.match_labels(found, network.labels, data)
        data = Samples(data, {network.input.name: found.images}, labels, network.input)
    labels = _labels(data)

    def run(feeds: dict[str, Array]) -> Array:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(feeds[network.input.name])).numpy())

    return judge(
        _collect(run, data, batch, False, progress),
        labels,
        model=name or path.name,
        data=data.name,
        backend=f"torch {torch.__version__}",
        names=network.labels,
    )
