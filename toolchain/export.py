"""PyTorch to ONNX: trace, tidy, check, judge, and only then write."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from models.inputs import ImageInput
from toolchain.data import INPUT_KEY, LABELS_KEY, Samples
from toolchain.errors import GateFailedError, UnsupportedError, UsageError
from toolchain.exported import AGREEMENT, Agreement, Exported
from toolchain.files import check_output, write_bytes
from toolchain.fuse import LocalResponse
from toolchain.load import read
from toolchain.module import agreements, cause
from toolchain.progress import Progress, silent
from toolchain.session import serialized
from toolchain.tidy import tidy

if TYPE_CHECKING:
    import torch

    from models.zoo import Network
    from toolchain.verify import Verification

Array = NDArray[Any]

MAX_BATCH = 65_536
MIN_OPSET = 20
MIN_IR_VERSION = 10
DYNAMIC = "dynamic"
NETWORK_KEY = "onnx_edge.network"
WEIGHTS_KEY = "onnx_edge.weights_sha256"
SEED_KEY = "onnx_edge.seed"
OUTPUT = "logits"
SAMPLES = 3
STAGES = ("tracing", "comparing with PyTorch", "judging", "writing")


def export(
    net: str,
    *,
    weights: Path | None = None,
    output: Path | str,
    batch: int | str = 1,
    opset: int = MIN_OPSET,
    force: bool = False,
    trust_pickle: bool = False,
    seed: int | None = None,
    shape: tuple[int, int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Export a network, check the file and judge it, then write it. Repeated, the file has the same bytes.

    Args:
        net: a name of ``models.zoo``, or ``package.module:callable``.
        weights: a ``.safetensors`` file; by default the network's own.
        output: the ONNX file.
        batch: fixed size, or ``"dynamic"`` for the free dimension ``N``.
        opset: of ai.onnx, 20 or later.
        force: overwrite ``output``.
        trust_pickle: allow weights in a pickle.
        seed: random weights instead of trained ones.
        shape: channels, height and width of the input of a user's own module.
        mean: per channel, subtracted from pixels scaled to 0..1.
        std: per channel, divides after that.
        labels: names of the classes.
        progress: called after each stage.

    Raises:
        GateFailedError: the exported graph is not the network, or the runtime computes it wrongly; names the
            node. No file is written.
        UsageError: the arguments make no sense, or the output exists.
        UnsupportedError: PyTorch cannot export the module.
        ModelsError: the network, its weights or PyTorch are missing.
    """
    output = Path(output)
    check_output(output, force=force)
    _check(batch, opset, weights, seed)
    tell = progress or silent
    network = _network(net, shape, mean, std, labels)
    module, provenance = _module(network, weights, seed, trust_pickle)
    tell(0, len(STAGES), STAGES[0])
    model = tidy(_trace(module, network, batch, opset), _normalizations(module))
    _describe(model, network, provenance)
    content = serialized(model)
    checked = read(content, f"the export of {network.name}")
    tell(1, len(STAGES), STAGES[1])
    agreement = _agreed(_compare(module, network, checked, batch), network, checked)
    tell(2, len(STAGES), STAGES[2])
    verdict = _judge(network, checked, batch)
    write_bytes(output, content, force=force)
    tell(4, len(STAGES), STAGES[3])
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return _summary(network, output, content, checked, batch, provenance, agreement, verdict, parameters)


def _check(batch: int | str, opset: int, weights: Path | None, seed: int | None) -> None:
    if not (batch == DYNAMIC or (isinstance(batch, int) and 1 <= batch <= MAX_BATCH)):
        raise UsageError(f"batch is {batch!r}; expected a number from 1 to {MAX_BATCH:,}, or {DYNAMIC!r}")
    newest = onnx.defs.onnx_opset_version()
    if not MIN_OPSET <= opset <= newest:
        raise UsageError(f"opset is {opset}; expected {MIN_OPSET} to {newest}, the newest that onnx knows")
    if weights is not None and seed is not None:
        raise UsageError("weights and a seed for random weights exclude each other; give one of them")


def _network(
    net: str,
    shape: tuple[int, int, int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    labels: Sequence[str] | None,
) -> Network:
    """The network, with what the user says of its input."""
    from models import zoo

    names = None if labels is None else tuple(labels)
    try:
        if shape is not None:
            described = _input(shape, mean, std)
            return zoo.get(net, input=described, labels=names)
        network = zoo.get(net, labels=names)
        stated = network.input
        described = replace(
            stated,
            mean=stated.mean if mean is None else tuple(mean),
            std=stated.std if std is None else tuple(std),
        )
        return replace(network, input=described)
    except ValueError as error:
        raise UsageError(f"input of {net}: {error}") from error


def _input(shape: tuple[int, int, int], mean: Sequence[float] | None, std: Sequence[float] | None) -> ImageInput:
    colors = {1: "gray", 3: "rgb"}
    if len(shape) != 3 or shape[0] not in colors or min(shape) < 1:
        raise UsageError(f"input shape is {list(shape)}; expected channels (1 or 3), height, width")
    channels, height, width = shape
    return ImageInput(
        name="image",
        color=colors[channels],
        size=(height, width),
        content=(height, width),
        resize=None,
        mean=tuple(mean) if mean is not None else (0.0,) * channels,
        std=tuple(std) if std is not None else (1.0,) * channels,
    )


def _module(
    network: Network, weights: Path | None, seed: int | None, trust_pickle: bool
) -> tuple[torch.nn.Module, dict[str, str]]:
    """The module, and where its weights come from as metadata."""
    from models import zoo

    if seed is not None:
        return zoo.seeded(network, seed), {SEED_KEY: str(seed)}
    module = zoo.module(network, weights, trust_pickle)
    with Path(weights or network.weights or "").open("rb") as file:
        return module, {WEIGHTS_KEY: hashlib.file_digest(file, "sha256").hexdigest()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that it does not need, and of its own deprecated calls."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _trace(module: torch.nn.Module, network: Network, batch: int | str, opset: int) -> ir.Model:
    """The graph as PyTorch's exporter writes it."""
    import torch

    count = batch if isinstance(batch, int) else 2  # one sample would be traced as a fixed dimension
    example = torch.zeros(count, *network.input.shape)
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=[network.input.name],
                output_names=[OUTPUT],
                dynamic_shapes=({0: "N"},) if batch == DYNAMIC else None,
                verbose=False,
            )
        except Exception as error:
            raise UnsupportedError(
                f"PyTorch cannot export {network.name} for input {list(example.shape)}: {cause(error)}; "
                "repair the module's forward, or give another batch"
            ) from error
    if program is None:
        raise UnsupportedError(f"PyTorch exported nothing for {network.name}; repair the module's forward")
    model: ir.Model = program.model
    _check_signature(model, network, opset)
    model.ir_version = max(MIN_IR_VERSION, int(_min_ir_version(opset)))
    return model


def _normalizations(module: torch.nn.Module) -> dict[str, LocalResponse]:
    """Modules that PyTorch's exporter takes apart into nine nodes, though ONNX has the operator."""
    from torch import nn

    return {
        name: LocalResponse(part.size, float(part.alpha), float(part.beta), float(part.k))
        for name, part in module.named_modules()
        if isinstance(part, nn.LocalResponseNorm) and part.size % 2
    }


def _min_ir_version(opset: int) -> int:
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)], ignore_unknown=True))


def _check_signature(model: ir.Model, network: Network, opset: int) -> None:
    graph = model.graph
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UnsupportedError(
            f"{network.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; expected one of each"
        )
    received = model.opset_imports.get("")
    if received != opset:
        raise UnsupportedError(
            f"PyTorch wrote opset {received} in place of {opset} for {network.name}; give --opset {received}"
        )
    shape = graph.outputs[0].shape
    classes = shape[-1] if shape is not None and len(shape) == 2 else None
    if isinstance(classes, int) and network.labels and classes != len(network.labels):
        raise UsageError(
            f"{network.name} has {classes} outputs and {len(network.labels)} labels; give {classes} labels"
        )


def _describe(model: ir.Model, network: Network, provenance: dict[str, str]) -> None:
    """Write what a user of the file must know into its metadata."""
    facts = {
        INPUT_KEY: network.input.to_json(),
        LABELS_KEY: json.dumps(list(network.labels), ensure_ascii=False, separators=(",", ":")),
        NETWORK_KEY: network.name,
        **provenance,
    }
    model.metadata_props.update(sorted(facts.items()))
    model.graph.name = network.name


def _pictures(network: Network, count: int) -> Array:
    """Seeded pictures, float32 [count, C, H, W]: noise, and noise enlarged, as smooth ones excite other maps."""
    rng = np.random.default_rng(0)
    image = network.input
    height, width = image.content
    pictures = rng.integers(0, 256, (count, image.channels, height, width), dtype=np.uint8)
    coarse = pictures[1::2, :, ::8, ::8].repeat(8, axis=2).repeat(8, axis=3)
    pictures[1::2] = coarse[:, :, :height, :width]
    return image.tensor(pictures)


def _compare(module: torch.nn.Module, network: Network, model: ir.Model, batch: int | str) -> Agreement:
    """The interpreter on the exported graph against the module in float64."""
    count = batch if isinstance(batch, int) and batch > SAMPLES else SAMPLES
    pictures = _pictures(network, count)
    size = batch if isinstance(batch, int) else count
    given = Samples("pictures", {network.input.name: pictures[: count // size * size]}, None)
    (found,) = agreements(module, model, given, network.name)
    if found.problem:
        raise GateFailedError(f"export of {network.name}: {found.describe()}; no file was written")
    return Agreement(found.samples, found.difference, found.float32_error, AGREEMENT * found.float32_error)


def _agreed(agreement: Agreement, network: Network, model: ir.Model) -> Agreement:
    """Refuse a graph that is not the network."""
    if agreement.ok:
        return agreement
    last = model.graph.outputs[0].producer()
    raise GateFailedError(
        f"export of {network.name}: at output {OUTPUT!r} of node {last.name if last else '?'!r} the graph "
        f"differs from PyTorch by {agreement.difference:.3g}, expected at most {agreement.limit:.3g} "
        f"({AGREEMENT:g} times what float32 rounding does); no file was written"
    )


def _judge(network: Network, model: ir.Model, batch: int | str) -> Verification:
    """Run the graph in the runtime and judge every node."""
    from toolchain.verify import verify

    count = batch if isinstance(batch, int) and batch > 1 else 2
    verdict = verify(model, synthetic=count)
    if not verdict.ok:
        worst = verdict.worst
        what = worst.describe() if worst is not None and verdict.defects else ", ".join(verdict.unobserved)
        raise GateFailedError(f"export of {network.name}: the runtime is not equivalent at {what}; no file was written")
    return verdict


def _summary(
    network: Network,
    output: Path,
    content: bytes,
    model: ir.Model,
    batch: int | str,
    provenance: dict[str, str],
    agreement: Agreement,
    verdict: Verification,
    parameters: int,
) -> Exported:
    worst = verdict.worst
    return Exported(
        network=network.name,
        output=output,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        parameters=parameters,
        nodes=model.graph.num_nodes(),
        opset=model.opset_imports[""],
        ir_version=model.ir_version,
        input=network.input,
        batch=batch,
        labels=len(network.labels),
        weights_sha256=provenance.get(WEIGHTS_KEY),
        agreement=agreement,
        judged=len(verdict.regions),
        worst=worst.name if worst else "",
        worst_ratio=worst.sound_ratio if worst else 0.0,
    )
