"""The TOML that describes a whole run, read strictly: what is misspelt is refused, never passed over."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolchain.errors import FileError, UsageError

SEED_PREFIX = "seed:"
MAX_RECIPE_BYTES = 1 << 20

Count = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Positive = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExportOptions(_Strict):
    """``[export]``: how PyTorch becomes ONNX.

    Attributes:
        batch: fixed batch size, or ``dynamic``.
        opset: of ai.onnx.
        shape: channels, height and width, for a network of your own that does not say it.
        mean: per channel, subtracted from pixels scaled to 0..1.
        std: per channel, divides after that.
        labels: a text file with the name of one class a line.
    """

    batch: Count | Literal["dynamic"] = "dynamic"
    opset: Count = 20
    shape: list[Count] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    labels: str | None = None


class VerifyOptions(_Strict):
    """``[verify]``: on what the backend is judged, node by node.

    Attributes:
        data: real samples; every one goes through the float64 interpreter, so a few dozen do.
        synthetic: this many seeded random samples instead.
        backend: the runtime that is judged.
        optimization: how far the runtime may optimise its graph.
    """

    data: str | None = None
    synthetic: Count | None = None
    backend: str = "ort-cpu"
    optimization: str = "all"


class QuantizeOptions(_Strict):
    """``[quantize]``: left out, the model stays float. What is left out takes the default of ``quantize``.

    Attributes:
        calibrate: training samples that ranges are observed on.
        activations: ``int8`` or ``uint8``.
        weights: ``int8`` or ``uint8``.
        per_channel: one scale per output channel of a weight.
        symmetric: activations' zero points are the middle of the type.
        reduce_range: weights take 7 bits.
        method: how a range is chosen from what was observed.
        percentile: of method ``percentile``.
        exclude: names of nodes to leave in float.
    """

    calibrate: str
    activations: str | None = None
    weights: str | None = None
    per_channel: bool | None = None
    symmetric: bool | None = None
    reduce_range: bool | None = None
    method: str | None = None
    percentile: float | None = None
    exclude: list[str] = []


class BenchmarkOptions(_Strict):
    """``[benchmark]``: left out, nothing is timed.

    Attributes:
        provider: execution provider of ONNX Runtime.
        threads: threads inside an operator.
        batches: batch sizes; left out, 1, 8 and 32, or the one that the model is fixed to.
        samples: timed calls of each configuration; the 99th percentile needs 662.
        seconds: time for each configuration at most.
        memory: also measure peak memory, each configuration in a process of its own.
    """

    provider: str = "cpu"
    threads: Count = 1
    batches: Annotated[list[Count], Field(min_length=1)] | None = None
    samples: Count = 1000
    seconds: Positive = 10.0
    memory: bool = True


class Budgets(_Strict):
    """``[budgets]``: each one is a gate of ``run`` and ``check``.

    Attributes:
        min_accuracy: top-1 of the float model on ``data``, percent.
        min_int8_accuracy: top-1 of the int8 model on ``data``, percent.
        max_accuracy_drop: float top-1 minus int8 top-1, percentage points.
        min_agreement: samples to which both models give the same answer, percent.
        max_size: of the float ONNX file, bytes.
        max_int8_size: of the int8 ONNX file, bytes.
        min_compression: float size divided by int8 size.
        max_latency_us: median latency of the float model at batch 1, microseconds.
        max_int8_latency_us: the same of the int8 model.
        min_speedup: float median divided by int8 median.
    """

    min_accuracy: Percent | None = None
    min_int8_accuracy: Percent | None = None
    max_accuracy_drop: Annotated[float, Field(ge=-100, le=100)] | None = None
    min_agreement: Percent | None = None
    max_size: Count | None = None
    max_int8_size: Count | None = None
    min_compression: Positive | None = None
    max_latency_us: Positive | None = None
    max_int8_latency_us: Positive | None = None
    min_speedup: Positive | None = None


# Budget -> what the recipe must hold for it to be measured at all.
NEEDS: dict[str, tuple[str, ...]] = {
    "min_accuracy": ("data",),
    "min_int8_accuracy": ("data", "quantize"),
    "max_accuracy_drop": ("data", "quantize"),
    "min_agreement": ("data", "quantize"),
    "max_int8_size": ("quantize",),
    "min_compression": ("quantize",),
    "max_latency_us": ("benchmark",),
    "max_int8_latency_us": ("benchmark", "quantize"),
    "min_speedup": ("benchmark", "quantize"),
}


class Recipe(_Strict):
    """A whole run.

    Attributes:
        network: a name of ``models.zoo``, or ``package.module:callable``.
        model: in its place anybody's ONNX file.
        title: heading of the report.
        data: samples with labels that accuracy is measured on; left out, it is not measured.
        weights: a ``.safetensors`` file, or ``seed:N`` for random weights; the network's own by default.
        export: how PyTorch becomes ONNX.
        verify: on what backends are judged.
        quantize: how int8 is made; ``None`` leaves the model float.
        benchmark: what is timed; ``None`` for nothing.
        budgets: the gates.
        path: the file that it was read from.
        text: its content.
    """

    network: str | None = None
    model: str | None = None
    title: str = ""
    data: str | None = None
    weights: str | None = None
    export: ExportOptions = ExportOptions()
    verify: VerifyOptions = VerifyOptions()
    quantize: QuantizeOptions | None = None
    benchmark: BenchmarkOptions | None = None
    budgets: Budgets = Budgets()
    path: Path = Field(default=Path(), exclude=True)
    text: str = Field(default="", exclude=True)

    @property
    def seed(self) -> int | None:
        """Seed of random weights; ``None`` for weights of a file."""
        if self.weights is None or not self.weights.startswith(SEED_PREFIX):
            return None
        return int(self.weights.removeprefix(SEED_PREFIX))

    @property
    def weights_file(self) -> Path | None:
        """The weights file, resolved against the recipe's folder; ``None`` for the network's own."""
        if self.weights is None or self.seed is not None:
            return None
        return self.path.parent / self.weights

    @property
    def model_file(self) -> Path | None:
        """The ONNX file, resolved against the recipe's folder."""
        return None if self.model is None else self.path.parent / self.model

    @property
    def labels_file(self) -> Path | None:
        """The file of labels, resolved against the recipe's folder."""
        return None if self.export.labels is None else self.path.parent / self.export.labels

    @property
    def name(self) -> str:
        """The recipe in one word: its file's name without the ending."""
        return self.path.stem

    def samples(self, spec: str | None) -> str | None:
        """A data set as the recipe writes it, its path resolved against the recipe's folder."""
        if spec is None:
            return None
        head, _, tail = spec.rpartition(":")
        plain = head if head and tail.isdigit() else spec
        beside = self.path.parent / plain
        is_path = "/" in plain or plain.endswith(".npz") or beside.exists()
        return str(beside) + spec[len(plain) :] if is_path else spec


def read(path: Path | str) -> Recipe:
    """Read a recipe.

    Args:
        path: the TOML file.

    Raises:
        FileError: missing, or no TOML.
        UsageError: an unknown or missing key, a value of another type, or a budget that this recipe never
            measures; names file and key.
    """
    path = Path(path)
    text = _text(path)
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{path} is no TOML: {error}; correct it there") from error
    for hidden in ("path", "text"):
        if hidden in facts:
            raise _unknown(path, (hidden,))
    try:
        recipe = Recipe.model_validate({**facts, "path": path.absolute(), "text": text})
    except ValidationError as error:
        raise _refusal(path, error) from error
    _check(path, recipe)
    return recipe


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder; expected a recipe in TOML")
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise FileError(f"{path} has {path.stat().st_size} bytes; a recipe has at most {MAX_RECIPE_BYTES}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot read the recipe {path}: {error.strerror or error}; check the name") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no text in UTF-8: {error}; a recipe is a TOML file") from error


def _key(location: tuple[int | str, ...]) -> str:
    """``[quantize] method``, as a reader finds it in the file."""
    names = [str(part) for part in location if part not in get_args(Literal["int", "constrained-int"])]
    if len(names) < 2:
        return f"key {names[0]!r}" if names else "the file"
    return f"[{names[0]}] {names[1]}"


def _known(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the table that a key stands in."""
    if len(location) < 2:
        return [name for name in Recipe.model_fields if name not in ("path", "text")]
    tables: dict[str, type[_Strict]] = {
        "export": ExportOptions,
        "verify": VerifyOptions,
        "quantize": QuantizeOptions,
        "benchmark": BenchmarkOptions,
        "budgets": Budgets,
    }
    return list(tables[str(location[0])].model_fields)


def _unknown(path: Path, location: tuple[int | str, ...]) -> UsageError:
    known = _known(location)
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"{path}: {_key(location)} is not known; {hint}")


def _refusal(path: Path, error: ValidationError) -> UsageError:
    """The first problem as one line; an unknown key first, as it is often the cause of a missing one."""
    problems: list[Any] = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    location = first["loc"]
    if first["type"] == "extra_forbidden":
        return _unknown(path, location)
    if first["type"] == "missing":
        return UsageError(f"{path}: {_key(location)} is missing; add it{more}")
    expected = first["msg"].removeprefix("Input should be ")
    return UsageError(f"{path}: {_key(location)} is {first['input']!r}; expected {expected}{more}")


def _check(path: Path, recipe: Recipe) -> None:
    """What one key alone does not show."""
    if (recipe.network is None) == (recipe.model is None):
        raise UsageError(f"{path}: expected one of the keys 'network' and 'model'; give a network or an ONNX file")
    if recipe.model is not None and (recipe.weights is not None or recipe.export.model_fields_set):
        raise UsageError(f"{path}: key 'model' is an ONNX file already; leave 'weights' and [export] out")
    if recipe.weights is not None and recipe.weights.startswith(SEED_PREFIX):
        number = recipe.weights.removeprefix(SEED_PREFIX)
        if not (number.isascii() and number.isdigit()):
            raise UsageError(f"{path}: key 'weights' is {recipe.weights!r}; expected seed:N with a number N")
    if recipe.export.shape is not None and len(recipe.export.shape) != 3:
        raise UsageError(f"{path}: [export] shape is {recipe.export.shape}; expected channels, height, width")
    if recipe.verify.data is not None and recipe.verify.synthetic is not None:
        raise UsageError(f"{path}: [verify] has both data and synthetic; give one of them")
    if recipe.verify.data is None and recipe.verify.synthetic is None:
        raise UsageError(f'{path}: [verify] says not on what; give data = "NAME:SPLIT:COUNT" or synthetic = N')
    for name in recipe.budgets.model_fields_set:
        for need in NEEDS.get(name, ()):
            if getattr(recipe, need) is None:
                what = "key 'data'" if need == "data" else f"table [{need}]"
                raise UsageError(f"{path}: [budgets] {name} cannot be measured without {what}; add it")
