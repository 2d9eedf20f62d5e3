"""What ``verify`` found, as frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear"})
Status = Literal["ok", "suspect", "defect"]


@dataclass(frozen=True)
class Worst:
    """The element that comes closest to its limit, or goes furthest beyond it.

    Attributes:
        sample: index of the sample in the data.
        index: index in the tensor.
        expected: the exact value for the backend's own inputs.
        received: the backend's value.
        sound: the sound limit on their difference.
        probable: the probable limit.
    """

    sample: int
    index: tuple[int, ...]
    expected: float
    received: float
    sound: float
    probable: float


@dataclass(frozen=True)
class RegionVerdict:
    """One tensor of the graph that runs, judged on the backend's own inputs of the nodes that make it.

    Attributes:
        tensor: the model's name of the tensor.
        nodes: names of the model's nodes between the observed inputs and this tensor, in order.
        operators: their operators.
        elements: number of elements compared, over all samples.
        sound_ratio: worst ``error / sound limit``; above 1 is a defect.
        probable_ratio: worst ``error / probable limit``; above 1 is a suspicion.
        max_error: largest absolute error.
        differing: number of elements that are not the nearest value of their type.
        worst: where ``sound_ratio`` is; ``None`` if nothing could be compared.
        problem: why nothing could be compared, else empty.
    """

    tensor: str
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    elements: int
    sound_ratio: float
    probable_ratio: float
    max_error: float
    differing: int
    worst: Worst | None
    problem: str = ""

    @property
    def status(self) -> Status:
        """``defect``, ``suspect`` or ``ok``."""
        if self.problem or not self.sound_ratio <= 1.0:
            return "defect"
        return "ok" if self.probable_ratio <= 1.0 else "suspect"

    @property
    def name(self) -> str:
        """The nodes in one word, as people say it: ``conv1 + relu1``, without the steps into and out of int8."""
        pairs = tuple(zip(self.nodes, self.operators, strict=True))
        computing = [node for node, operator in pairs if operator not in QUANTIZING]
        return " + ".join(computing or self.nodes)

    @property
    def arithmetic(self) -> str:
        """The operators, likewise."""
        computing = [operator for operator in self.operators if operator not in QUANTIZING]
        return " + ".join(computing or self.operators)

    def describe(self) -> str:
        """One line: node, index, expected, received, limit."""
        if self.problem:
            return f"{self.name}: {self.problem}"
        if self.worst is None:
            return f"{self.name}: nothing compared"
        w = self.worst
        return (
            f"{self.name} ({self.arithmetic}): sample {w.sample}, index {list(w.index)} of {self.tensor!r}: "
            f"expected {w.expected:.9g}, received {w.received:.9g}, "
            f"difference {abs(w.expected - w.received):.3g} is {self.sound_ratio:.3g} of the sound limit {w.sound:.3g}"
        )


@dataclass(frozen=True)
class EndToEnd:
    """The whole model against the interpreter run in float64 from input to output.

    Attributes:
        samples: number of samples.
        agree: how many give the same top-1 answer.
        max_error: largest absolute difference of an output.
    """

    samples: int
    agree: int
    max_error: float


@dataclass(frozen=True)
class Verification:
    """The verdict on one backend.

    Attributes:
        model: what was judged.
        backend: by which runtime, provider and optimisation level it was run.
        data: on which samples.
        samples: their number.
        roundoff: unit roundoff of the arithmetic that the bounds assume.
        regions: one for each tensor of the graph that runs, in the model's order.
        unobserved: nodes of the model that feed no observed tensor.
        running: operators of the graph that runs, in order.
        undisturbed: observing changed no bit of the outputs.
        end_to_end: the whole model, or ``None`` if not asked for.
    """

    model: str
    backend: str
    data: str
    samples: int
    roundoff: float
    regions: tuple[RegionVerdict, ...]
    unobserved: tuple[str, ...]
    running: tuple[str, ...]
    undisturbed: bool
    end_to_end: EndToEnd | None

    @property
    def defects(self) -> tuple[RegionVerdict, ...]:
        """Regions beyond their sound limit."""
        return tuple(r for r in self.regions if r.status == "defect")

    @property
    def suspects(self) -> tuple[RegionVerdict, ...]:
        """Regions beyond their probable limit only."""
        return tuple(r for r in self.regions if r.status == "suspect")

    @property
    def worst(self) -> RegionVerdict | None:
        """The first defect in the model's order (later ones may follow from it), else the highest ratio."""
        if self.defects:
            return self.defects[0]
        return max(self.regions, key=lambda r: r.sound_ratio, default=None)

    @property
    def ok(self) -> bool:
        """Every node of the model was judged and none is beyond its sound limit."""
        return bool(self.regions) and not self.defects and not self.unobserved and self.undisturbed

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        facts = asdict(self)
        for entry, region in zip(facts["regions"], self.regions, strict=True):
            entry["status"] = region.status
        return {**facts, "ok": self.ok, "worst": self.worst.name if self.worst else None}
