"""What ``verify`` found, as frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from toolchain.verify.cause import Cause
from toolchain.verify.deviation import Deviations
from toolchain.verify.distribution import Distribution
from toolchain.verify.heat import Heat
from toolchain.verify.probe import Probe

QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear"})
Status = Literal["ok", "suspect", "vacuous", "defect"]


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
        judged: a problem is the backend's; ``False`` where nothing can be said, since no limit was derived.
        channel: output channel of the worst element, once something is beyond a limit.
        cause: the most likely reason, once something is beyond a limit.
        distribution: what the errors of many values say together; ``None`` where the region is no float32 sum with
            constant weights and functions of one element behind it.
        unlimited: elements whose sound limit says nothing: it is infinite, or admits all that the nodes can give.
        unproved: those among them that are not the nearest value of their type, about which nothing is known.
        undecided: those that are NaN in the place of a number.
        heat: absolute error of the worst sample and channel, at most 32 x 32, once something is beyond a limit.
        deviations: how a tensor of integers differs from its exact value, by class; ``None`` for other tensors.
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
    judged: bool = True
    channel: int | None = None
    cause: Cause | None = None
    heat: Heat = ()
    distribution: Distribution | None = None
    unlimited: int = 0
    unproved: int = 0
    undecided: int = 0
    deviations: Deviations | None = None

    @property
    def status(self) -> Status:
        """``defect``, ``vacuous``, ``suspect`` or ``ok``.

        Vacuous: no limit was derived, or an element has none that says anything and is not right to the last bit
        either, or NaN is received where the limit is infinite and the exact value a number.
        """
        wrong = self.deviations is not None and self.deviations.wrong
        if not self.judged:
            return "vacuous"
        if self.problem or wrong or not self.sound_ratio <= 1.0:
            return "defect"
        if self.undecided or self.unproved:
            return "vacuous"
        odd = self.distribution is not None and self.distribution.suspicious
        return "suspect" if odd or not self.probable_ratio <= 1.0 else "ok"

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

    def _channel(self) -> str:
        return "" if self.channel is None else f", output channel {self.channel}"

    def _without(self) -> str:
        """How many elements no limit says anything of."""
        said = f"{self.unlimited:,} of {self.elements:,} elements of {self.tensor!r} without a limit"
        wrong = (
            f"{self.unproved:,} of them not the nearest values" if self.unproved else "all of them the nearest values"
        )
        return f"{said}, {wrong}"

    def describe(self) -> str:
        """One line: node, index, expected, received, limit, and the cause where one was sought."""
        why = "" if self.cause is None else f"; cause: {self.cause.describe()}"
        if self.problem:
            return f"{self.name}: {self.problem}{why}"
        if self.deviations is not None and self.deviations.wrong:
            return f"{self.name} ({self.arithmetic}): {self.deviations.describe()}{why}"
        if self.worst is None:
            return f"{self.name}: nothing compared"
        if self.status == "vacuous":
            return f"{self.name} ({self.arithmetic}): not certified: {self._without()}"
        if self.distribution is not None and self.distribution.suspicious and self.sound_ratio <= 1.0:
            return f"{self.name} ({self.arithmetic}): {self.distribution.describe()}"
        w = self.worst
        return (
            f"{self.name} ({self.arithmetic}): sample {w.sample}{self._channel()}, index {list(w.index)} of "
            f"{self.tensor!r}: expected {w.expected:.9g}, received {w.received:.9g}, difference "
            f"{abs(w.expected - w.received):.3g} is {self.sound_ratio:.3g} of the sound limit {w.sound:.3g}"
            f"{'; ' + self._without() if self.unlimited else ''}{why}"
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
        probe: in which arithmetic the backend computes float32; ``None`` where it was not asked.
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
    probe: Probe | None = None

    @property
    def vacuous(self) -> tuple[RegionVerdict, ...]:
        """Regions with elements of which nothing is known."""
        return tuple(r for r in self.regions if r.status == "vacuous")

    @property
    def defects(self) -> tuple[RegionVerdict, ...]:
        """Regions beyond their sound limit."""
        return tuple(r for r in self.regions if r.status == "defect")

    @property
    def suspects(self) -> tuple[RegionVerdict, ...]:
        """Regions beyond their probable limit only."""
        return tuple(r for r in self.regions if r.status == "suspect")

    @property
    def deviations(self) -> Deviations:
        """How the integers of a quantized model differ from their exact values, by class, over all tensors."""
        return sum((r.deviations for r in self.regions if r.deviations is not None), Deviations())

    @property
    def worst(self) -> RegionVerdict | None:
        """The first defect in the model's order (later ones may follow from it), else the highest ratio."""
        if self.defects:
            return self.defects[0]
        return max(self.regions, key=lambda r: r.sound_ratio, default=None)

    @property
    def ok(self) -> bool:
        """Every node of the model was judged, by a limit that says something, and none is beyond it."""
        judged = bool(self.regions) and not self.vacuous and not self.unobserved and self.undisturbed
        return judged and not self.defects

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        facts = asdict(self)
        for entry, region in zip(facts["regions"], self.regions, strict=True):
            entry["status"] = region.status
        return {**facts, "ok": self.ok, "worst": self.worst.name if self.worst else None}
