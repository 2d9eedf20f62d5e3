"""What ``export`` found, as frozen values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from models.inputs import ImageInput

AGREEMENT = 4.0
"""Multiple of the module's own float32 error that the graph's meaning may be away from the module's."""


@dataclass(frozen=True)
class Agreement:
    """The exported graph against the PyTorch module, both in float64, on the same inputs.

    Attributes:
        samples: number of inputs.
        difference: largest absolute difference of an output.
        float32_error: largest absolute difference between the module run in float32 and in float64: what
            rounding alone does to this network.
        limit: ``AGREEMENT * float32_error``.
    """

    samples: int
    difference: float
    float32_error: float
    limit: float

    @property
    def ok(self) -> bool:
        """The graph means what the module means."""
        return math.isfinite(self.limit) and self.difference <= self.limit


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        network: its name.
        output: the file.
        size: of the file, bytes.
        sha256: of the file.
        parameters: of the PyTorch module, elements.
        nodes: number of nodes.
        opset: of ai.onnx.
        ir_version: of the file.
        input: how a picture becomes the input.
        batch: fixed batch size, or ``"dynamic"``.
        labels: number of classes.
        weights_sha256: of the weights file; ``None`` for seeded weights.
        agreement: with PyTorch.
        judged: tensors of the running graph within their bounds.
        worst: the node closest to its sound limit.
        worst_ratio: its error as a share of that limit.
    """

    network: str
    output: Path
    size: int
    sha256: str
    parameters: int
    nodes: int
    opset: int
    ir_version: int
    input: ImageInput
    batch: int | str
    labels: int
    weights_sha256: str | None
    agreement: Agreement
    judged: int
    worst: str
    worst_ratio: float

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {**asdict(self), "output": str(self.output)}
