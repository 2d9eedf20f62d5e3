"""Data for a model: what its metadata says about its input, and tensors to feed it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from models import datasets
from models.inputs import ImageInput
from toolchain.errors import FileError, ShapeError, UsageError

Array = NDArray[Any]

INPUT_KEY = "onnx_edge.input"
LABELS_KEY = "onnx_edge.labels"
MAX_NPZ_BYTES = 8 << 30


@dataclass(frozen=True)
class Samples:
    """Samples for a model, normalised batch by batch so that memory does not grow with their number.

    Attributes:
        name: the data set as it was asked for.
        arrays: for every graph input an array [N, ...]; pictures (uint8 [N, C, h, w]) where ``image`` is set.
        labels: int64 [N], indices into the model's labels; ``None`` where there are none.
        image: how pictures become the input tensor; ``None`` if the arrays are fed as they are.
    """

    name: str
    arrays: Mapping[str, Array]
    labels: NDArray[np.int64] | None
    image: ImageInput | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def tensor(self) -> Array:
        """The only input's tensor, [N, ...], all of it in memory.

        Raises:
            UsageError: the model has several inputs.
        """
        if len(self.arrays) != 1:
            raise UsageError(f"the model has {len(self.arrays)} inputs, expected 1: {', '.join(self.arrays)}")
        return next(iter(self.feeds(0, len(self)).values()))

    def feeds(self, start: int, stop: int) -> dict[str, Array]:
        """The inputs of samples ``start`` to ``stop``, by name."""
        cut = {name: array[start:stop] for name, array in self.arrays.items()}
        if self.image is not None:
            cut = {name: self.image.tensor(pictures) for name, pictures in cut.items()}
        return cut

    def batches(self, size: int, *, fixed: bool = False) -> Iterator[tuple[int, dict[str, Array]]]:
        """Feeds of up to ``size`` samples.

        Args:
            size: samples a batch.
            fixed: fill the last batch by repeating its last sample, for a model that takes no other size.

        Yields:
            How many samples of the batch are real, and the feeds.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            feeds = self.feeds(start, stop)
            if fixed and stop - start < size:
                rest = size - (stop - start)
                feeds = {
                    name: np.concatenate([array, np.repeat(array[-1:], rest, axis=0)]) for name, array in feeds.items()
                }
            yield stop - start, feeds


def input_of(model: ir.Model) -> ImageInput | None:
    """The image input that the model's metadata describes; ``None`` without such metadata.

    Raises:
        FileError: the description cannot be read, or names no input of the graph.
    """
    text = model.metadata_props.get(INPUT_KEY)
    if text is None:
        return None
    try:
        described = ImageInput.from_json(text)
    except ValueError as error:
        raise FileError(f"the model's metadata {INPUT_KEY}: {error}; export the model again") from error
    if described.name not in {value.name for value in graph_inputs(model)}:
        raise FileError(
            f"the model's metadata {INPUT_KEY} describes input {described.name!r}, the graph has "
            f"{', '.join(str(value.name) for value in graph_inputs(model))}; export the model again"
        )
    return described


def labels_of(model: ir.Model) -> tuple[str, ...] | None:
    """The names of the classes in the order of the outputs; ``None`` without such metadata.

    Raises:
        FileError: the metadata cannot be read.
    """
    text = model.metadata_props.get(LABELS_KEY)
    if text is None:
        return None
    try:
        labels = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"the model's metadata {LABELS_KEY} is no JSON: {error}; export it again") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise FileError(f"the model's metadata {LABELS_KEY} is no list of strings; export the model again")
    return tuple(labels)


def graph_inputs(model: ir.Model) -> tuple[ir.Value, ...]:
    """The inputs that must be fed: those that no initializer gives a value."""
    return tuple(value for value in model.graph.inputs if value.name not in model.graph.initializers)


def batch_of(model: ir.Model) -> int | None:
    """The fixed batch size of the model's inputs; ``None`` if it is free."""
    sizes = {
        value.shape[0]
        for value in graph_inputs(model)
        if value.shape is not None and len(value.shape) and isinstance(value.shape[0], int)
    }
    return next(iter(sizes)) if len(sizes) == 1 else None


def samples(model: ir.Model, spec: str | None, *, synthetic: int | None = None, seed: int = 0) -> Samples:
    """Samples that fit a model.

    Args:
        model: its metadata says how pictures become its input.
        spec: ``NAME:SPLIT[:COUNT]``, a folder of pictures, or an ``.npz`` file (each optionally with
            ``:COUNT``). An ``.npz`` holds ``images`` and ``labels``, or one array [N, ...] for every graph
            input, named after it, and perhaps ``labels`` (integers [N]).
        synthetic: draw that many random samples instead; never done unasked.
        seed: of the random samples.

    Raises:
        UsageError: neither or both of ``spec`` and ``synthetic``, or data of other classes than the model's.
        ShapeError: the arrays do not fit the graph's inputs.
        FileError: the file cannot be read.
        models.errors.ModelsError: no such data set or split, or its files are missing or corrupt.
    """
    if synthetic is not None:
        if spec is not None:
            raise UsageError("data and synthetic samples exclude each other; give --data or --synthetic")
        return _synthetic(model, synthetic, seed)
    if spec is None:
        raise UsageError("no data; give --data NAME:SPLIT[:COUNT], a folder, an .npz, or --synthetic COUNT")
    found = _tensors(model, spec)
    if found is not None:
        return found
    image = input_of(model)
    if image is None:
        names = ", ".join(str(value.name) for value in graph_inputs(model))
        raise UsageError(
            f"the model's metadata describes no image input, so {spec!r} cannot be fed to it; give an .npz "
            f"with the arrays {names}, or --synthetic COUNT"
        )
    data = datasets.load(spec, input=image)
    labels = match_labels(data, labels_of(model), spec)
    return Samples(spec, {image.name: data.images}, labels, image)


def match_labels(data: datasets.Dataset, known: tuple[str, ...] | None, spec: str) -> NDArray[np.int64] | None:
    """Labels as indices into the model's own, matched by name.

    Args:
        data: from ``models.datasets``.
        known: the model's labels.
        spec: how messages call the data.

    Returns:
        int64 [N]; ``None`` if the pictures have no labels.

    Raises:
        UsageError: some have labels and some not, or a class is none of the model's.
    """
    labels, classes = data.labels, data.classes
    if not classes or bool((labels < 0).all()):
        return None
    if bool((labels < 0).any()):
        raise UsageError(f"{spec}: {int((labels < 0).sum())} of {len(labels)} pictures have no label")
    if known is None or classes == known:
        return labels
    # A user's own files may number the classes; a published data set has names.
    numbered = data.split == "all" and classes == tuple(map(str, range(len(classes))))
    if numbered and len(classes) <= len(known) and not set(classes) <= set(known):
        return labels
    strangers = [name for name in classes if name not in known]
    if strangers:
        raise UsageError(
            f"{spec} has the class {strangers[0]!r}, which is none of the model's labels "
            f"({', '.join(known[:10])}); give data of the model's classes"
        )
    order = np.array([known.index(name) for name in classes], dtype=np.int64)
    return order[labels]


def _tensors(model: ir.Model, spec: str) -> Samples | None:
    """The arrays of an ``.npz`` that are named after the graph's inputs; ``None`` for other data."""
    head, _, tail = spec.rpartition(":")
    counted = spec.find(".npz:") > 0 and tail.isdigit()
    path = Path(head if counted else spec)
    if path.suffix != ".npz" or not path.is_file():
        return None
    wanted = [str(value.name) for value in graph_inputs(model)]
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_NPZ_BYTES:
            raise FileError(f"{path} unpacks to {size} bytes, expected at most {MAX_NPZ_BYTES}; split it")
        with np.load(path, allow_pickle=False) as archive:
            if not set(wanted) <= set(archive.files):
                if input_of(model) is None or "images" not in archive.files:
                    raise ShapeError(
                        f"{path} holds the arrays {', '.join(archive.files)}; "
                        f"expected one for each graph input: {', '.join(wanted)}"
                    )
                return None
            arrays = {name: archive[name] for name in wanted}
            labels = archive["labels"] if "labels" in archive.files else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"{path} is no readable .npz file ({error}); write it with numpy.savez") from error
    count = int(tail) if counted else None
    return _checked(model, path, spec, {n: a[:count] for n, a in arrays.items()}, _cut(labels, count))


def _cut(labels: Array | None, count: int | None) -> Array | None:
    return None if labels is None else labels[:count]


def _checked(model: ir.Model, path: Path, spec: str, arrays: dict[str, Array], labels: Array | None) -> Samples:
    for value in graph_inputs(model):
        _check_array(value, arrays[str(value.name)], path)
    lengths = {name: len(array) for name, array in arrays.items()}
    count = next(iter(lengths.values()))
    if len(set(lengths.values())) != 1:
        raise ShapeError(f"{path}: the arrays hold different numbers of samples: {lengths}")
    if labels is None:
        return Samples(spec, arrays, None)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        raise ShapeError(f"{path}: 'labels' is {labels.dtype} {list(labels.shape)}, expected integers >= 0 [{count}]")
    return Samples(spec, arrays, labels.astype(np.int64))


def _check_array(value: ir.Value, array: Array, path: Path) -> None:
    shape = [] if value.shape is None else list(value.shape)
    expected = ", ".join(["N", *(str(d) for d in shape[1:])])
    fits = value.shape is None or (
        array.ndim == len(shape)
        and all(not isinstance(w, int) or w == g for w, g in zip(shape[1:], array.shape[1:], strict=False))
    )
    if not fits or not array.ndim or not len(array):
        raise ShapeError(
            f"{path}: array {value.name!r} has shape {list(array.shape)}, expected [{expected}] with N >= 1"
        )
    if value.dtype is not None and array.dtype != value.dtype.numpy():
        raise ShapeError(f"{path}: array {value.name!r} is {array.dtype}, expected {value.dtype.numpy()}; convert it")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise FileError(f"{path}: array {value.name!r} holds NaN or infinity, which judges nothing; repair the data")


def _synthetic(model: ir.Model, count: int, seed: int) -> Samples:
    if count < 1:
        raise UsageError(f"--synthetic is {count}, expected a positive whole number")
    generator = np.random.default_rng(seed)
    name = f"synthetic:{count} (seed {seed})"
    image = input_of(model)
    if image is not None:
        shape = (count, image.channels, *image.content)
        return Samples(name, {image.name: generator.integers(0, 256, shape, dtype=np.uint8)}, None, image)
    return Samples(name, {str(v.name): _random(v, count, generator) for v in graph_inputs(model)}, None)


def _random(value: ir.Value, count: int, generator: np.random.Generator) -> Array:
    if value.shape is None or value.dtype is None or not len(value.shape):
        raise UsageError(f"input {value.name!r} has no known shape or type; give an .npz with its values")
    if not all(isinstance(size, int) for size in value.shape[1:]):
        raise UsageError(
            f"input {value.name!r} has the shape [{', '.join(map(str, value.shape))}]; only its first "
            "dimension may be free for synthetic samples: give an .npz with its values"
        )
    shape = (count, *(int(size) for size in value.shape[1:] if isinstance(size, int)))
    dtype = value.dtype.numpy()
    if np.issubdtype(dtype, np.integer):
        low, high = max(-128, np.iinfo(dtype).min), min(127, np.iinfo(dtype).max)
        return generator.integers(low, high + 1, shape).astype(dtype)
    if dtype == np.bool_:
        return generator.integers(0, 2, shape).astype(np.bool_)
    return generator.standard_normal(shape).astype(dtype)
