"""One folder that is everything a device needs, with a manifest that accounts for every file in it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.benchmark.answer import check_answer, expect
from toolchain.data import Array, batch_of, graph_inputs, input_of, labels_of, samples
from toolchain.errors import UsageError
from toolchain.files import replacing_folder
from toolchain.load import load
from toolchain.progress import Progress, silent
from toolchain.session import Session, onnxruntime, serialized

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
MODEL, LABELS, PREPROCESS, GOLDEN, README = (
    "model.onnx",
    "labels.txt",
    "preprocess.json",
    "golden.npz",
    "README.txt",
)
MAX_GOLDEN = 64
STEPS = 3


@dataclass(frozen=True)
class BundledFile:
    """A file of a bundle.

    Attributes:
        name: in the bundle's folder.
        size: bytes.
        sha256: of its content.
        what: what it is for.
    """

    name: str
    size: int
    sha256: str
    what: str


@dataclass(frozen=True)
class Bundle:
    """A bundle.

    Attributes:
        output: its folder.
        files: what lies in it; the manifest, which lists the others, last.
        golden: samples in ``golden.npz``; 0 if there is none.
        checked: runtime, version and provider that gave the expected outputs here; ``None`` without samples.
    """

    output: Path
    files: tuple[BundledFile, ...]
    golden: int
    checked: str | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {**asdict(self), "output": str(self.output), "size": self.size}


def bundle(
    model: Path | str,
    *,
    output: Path | str,
    data: str | None = None,
    synthetic: int | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write a folder with the model and all that its use depends on.

    ``golden.npz`` holds a few inputs (named as the graph's inputs), for every output the exact value
    (``expected.NAME``) and the greatest departure that a working runtime may show (``allowed.NAME``), so that a
    device can check itself. The same arguments give the same bytes.

    Args:
        model: an ONNX file.
        output: the folder.
        data: samples for ``golden.npz``, at most 64; without these and ``synthetic`` there is no such file.
        synthetic: this many seeded random samples instead.
        seed: of the random samples.
        force: replace ``output``, if it is a bundle.
        progress: told after each step.

    Raises:
        GateFailedError: this machine's runtime does not give the expected outputs.
        UsageError: too many samples, or ``output`` is a folder of something else.
        ToolchainError: what loading, the data and writing raise.
    """
    tell = progress or silent
    path, output = Path(model), Path(output)
    loaded = load(path)
    tell(1, STEPS, "bundle")
    contents = _model_files(path, loaded)
    count, checked = 0, None
    if data is not None or synthetic is not None:
        golden = samples(loaded, data, synthetic=synthetic, seed=seed)
        count = len(golden)
        contents[GOLDEN] = _npz(_golden(loaded, golden.feeds(0, count), count))
        checked = f"onnxruntime {onnxruntime().__version__}, cpu"
    tell(2, STEPS, "bundle")
    contents[README] = _readme(contents, loaded).encode()
    files = [_file(name, content) for name, content in contents.items()]
    manifest = _manifest(loaded, files, count, checked)
    contents[MANIFEST] = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    files.append(_file(MANIFEST, contents[MANIFEST]))
    with replacing_folder(output, force=force, mark=MANIFEST) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    tell(STEPS, STEPS, "bundle")
    return Bundle(output, tuple(files), count, checked)


def _model_files(path: Path, loaded: ir.Model) -> dict[str, bytes]:
    """The model, and what its metadata says as files of their own, for those who do not read ONNX."""
    external = any(isinstance(v.const_value, ir.ExternalTensor) for v in loaded.graph.initializers.values())
    contents = {MODEL: serialized(loaded) if external else path.read_bytes()}
    labels, image = labels_of(loaded), input_of(loaded)
    if labels is not None:
        contents[LABELS] = "".join(f"{' '.join(label.split())}\n" for label in labels).encode()
    if image is not None:
        facts = json.loads(image.to_json())
        contents[PREPROCESS] = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
    return contents


def _golden(model: ir.Model, feeds: Mapping[str, Array], count: int) -> dict[str, Array]:
    """Inputs, exact outputs and allowances; this machine's runtime is held to them first."""
    size = batch_of(model)
    if count > MAX_GOLDEN or (size is not None and count != size):
        wanted = f"exactly {size}, the model's batch" if size is not None else f"at most {MAX_GOLDEN}"
        raise UsageError(f"{count} samples for {GOLDEN}; expected {wanted}, such as mnist:test:{size or 8}")
    right = expect(model, feeds)
    check_answer("onnxruntime here", right, Session(model).run(feeds), tf32=False)
    arrays = dict(feeds)
    for name, value in right.outputs.items():
        arrays[f"expected.{name}"] = value.astype(np.float64)
        arrays[f"allowed.{name}"] = np.asarray(right.allowed[name], dtype=np.float64)
    return arrays


def _npz(arrays: Mapping[str, Array]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


PURPOSES = {
    MODEL: "the network, ONNX",
    LABELS: "names of the classes, one a line, in the order of the outputs",
    PREPROCESS: "how a picture becomes the input",
    GOLDEN: "inputs with expected outputs, for a self-check on the device",
    README: "this bundle in words",
    MANIFEST: "this list, with sizes and checksums",
}


def _file(name: str, content: bytes) -> BundledFile:
    return BundledFile(name, len(content), hashlib.sha256(content).hexdigest(), PURPOSES[name])


def _manifest(model: ir.Model, files: list[BundledFile], golden: int, checked: str | None) -> dict[str, Any]:
    image, labels = input_of(model), labels_of(model)
    return {
        "version": MANIFEST_VERSION,
        "format": "onnx-edge bundle",
        "network": model.metadata_props.get("onnx_edge.network"),
        "opset": model.opset_imports.get(""),
        "ir_version": model.ir_version,
        "inputs": [_tensor(value) for value in graph_inputs(model)],
        "outputs": [_tensor(value) for value in model.graph.outputs],
        "preprocess": None if image is None else json.loads(image.to_json()),
        "labels": None if labels is None else list(labels),
        "quantization": _json_or_none(model.metadata_props.get("onnx_edge.quantization")),
        "golden_samples": golden,
        "checked_with": checked,
        "files": [asdict(file) for file in files],
    }


def _tensor(value: ir.Value) -> dict[str, Any]:
    shape = None if value.shape is None else [d if isinstance(d, int) else str(d) for d in value.shape]
    return {"name": value.name, "dtype": None if value.dtype is None else value.dtype.name.lower(), "shape": shape}


def _json_or_none(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError:
        return text


SELF_CHECK = """\
import numpy as np, onnxruntime
golden = np.load("golden.npz")
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
outputs = [o.name for o in session.get_outputs()]
answers = session.run(outputs, {i.name: golden[i.name] for i in session.get_inputs()})
for name, answer in zip(outputs, answers):
    worst = abs(answer - golden["expected." + name]).max()
    print(name, worst, "ok" if worst <= golden["allowed." + name] else "WRONG")
"""


def _readme(contents: Mapping[str, bytes], model: ir.Model) -> str:
    """The bundle in words."""
    lines = [f"{model.metadata_props.get('onnx_edge.network') or model.graph.name or 'A network'} for a device", ""]
    lines += [f"  {name:16} {PURPOSES[name]}" for name in (*contents, README, MANIFEST)]
    lines += ["", "manifest.json gives size and SHA-256 of every other file, and the shapes of inputs and outputs."]
    if PREPROCESS in contents:
        lines += [
            "",
            "A picture becomes the input so: bring it to `content` (height, width), centre it in `size` on black,",
            "divide by 255, subtract `mean`, divide by `std` (per channel), order as [N, channels, height, width].",
        ]
    if GOLDEN in contents:
        lines += [
            "",
            "Self-check, with numpy and onnxruntime, in this folder. `expected` was computed in float64; `allowed` is",
            "a multiple of how far plain float32 departs from it, so a working runtime stays within it.",
            "",
            *(f"    {line}" for line in SELF_CHECK.splitlines()),
        ]
    return "\n".join(lines) + "\n"
