"""Plant faults into regions, by both routes, and write down what is said of each.

*model*: ONNX Runtime runs the faulty region of a model, on the inputs that it has in the whole, and the meaning of
the model without the fault judges what comes out.

*whole model*: ``verify(A, B)`` itself, the second model with one fault in it.

*backend*: a backend computes one region wrongly and everything else rightly. Its tensor is the faulty value plus the
rounding errors of the correct backend; regions behind it get that tensor and are consistent with it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.power.effect import Baseline, as_backend, faulty
from benchmarks.power.faults import faults
from benchmarks.power.judging import Judge
from benchmarks.power.networks import Subject
from benchmarks.power.wrong import Place, Wrong, run, whole
from toolchain.data import Samples
from toolchain.errors import ToolchainError
from toolchain.verify import RegionVerdict, Verification, verify
from toolchain.verify.cause import KINDS

Array = NDArray[Any]

NONE = "none"
"""Kind and route of what is no fault."""


@dataclass(frozen=True)
class Record:
    """One planted fault and what was said.

    Attributes:
        network: it was planted into.
        form: float or int8.
        tensor: of the faulty region.
        operators: of the region, the computing ones.
        route: model, backend or whole model; none for the correct backend.
        kind: of the fault; none.
        fault: in words.
        real: it changes the region beyond rounding.
        status: of the verdict on the region.
        cause: that was named; empty where nothing was found.
        detail: of the cause.
        elsewhere: other regions that were flagged, where a whole verification was made.
    """

    network: str
    form: str
    tensor: str
    operators: str
    route: str
    kind: str
    fault: str
    real: bool
    status: str
    cause: str
    detail: str
    elsewhere: int = 0

    @property
    def flagged(self) -> bool:
        """Defect or suspicion."""
        return self.status != "ok"


def planted(subject: Subject, seed: int, keep: float = 1.0, kinds: Collection[str] = KINDS) -> Iterator[Record]:
    """Plant every fault into every region of a network.

    Args:
        subject: the network.
        seed: of weights and bits.
        keep: share of the faults to plant, drawn at random.
        kinds: of the faults to plant.

    Yields:
        One record a fault, by one of the routes at random: a fault that changes the shape can only come in a model, and
        one that no model can say only in a backend.
    """
    position = 0
    for number, region in enumerate(subject.regions):
        place = Place(subject, region)
        baseline, judge = Baseline(place), Judge(place)
        draw, lot = np.random.default_rng([seed, number]), np.random.default_rng([seed, number, 1])
        for wrong in faults(place, draw):
            # Drawn for every fault, so that one that is left out changes nothing for those behind it.
            route = "model" if lot.random() < 0.5 and wrong.written else "backend"
            wanted = wrong.kind in kinds and _drawn(position, keep, seed)
            found = _planted(baseline, judge, wrong, route) if wanted else None
            position += 1
            if found is not None:
                yield found


def _drawn(position: int, keep: float, seed: int) -> bool:
    """Whether a fault is planted: one of every ``1 / keep`` neighbours, at random, so that no layer is left out."""
    stratum = int(position * keep)
    first, behind = math.ceil(stratum / keep), math.ceil((stratum + 1) / keep)
    return position == first + int(np.random.default_rng([seed, stratum]).integers(behind - first))


def _planted(baseline: Baseline, judge: Judge, wrong: Wrong, route: str) -> Record | None:
    """A fault by one route; ``None`` where it means nothing in this region, or cannot be planted so."""
    try:
        value = faulty(baseline, wrong)
        if route == "backend" and (value.shape, value.dtype) != (baseline.exact.shape, baseline.exact.dtype):
            if not wrong.written:
                return None
            route = "model"
        received = run(baseline.place, wrong) if route == "model" else as_backend(baseline, value)
    except ToolchainError:
        return None
    return record(baseline, wrong, route, _shows(baseline, value, received), judge.judge(received))


def _shows(baseline: Baseline, value: Array, received: Array) -> bool:
    """Whether a fault changes the tensor beyond rounding, and the backend's at all.

    ONNX Runtime ignores some faults of a model, such as another scale of a bias: then nothing has changed.
    """
    return baseline.real(value) and not np.array_equal(received, baseline.received)


def unharmed(subject: Subject) -> Iterator[Record]:
    """What is said of the correct backend's own tensors: nothing should be."""
    for region in subject.regions:
        place = Place(subject, region)
        baseline = Baseline(place)
        nothing = Wrong(NONE, "", region.steps)
        yield record(baseline, nothing, NONE, False, Judge(place).judge(baseline.received))


def record(baseline: Baseline, wrong: Wrong, route: str, real: bool, verdict: RegionVerdict | None) -> Record:
    """Facts of one planted fault; without a verdict nothing was said of it."""
    cause = None if verdict is None else verdict.cause
    subject, region = baseline.place.subject, baseline.place.region
    names = [s.operator.name for s in region.steps]
    computing = [n for n in names if n not in ("QuantizeLinear", "DequantizeLinear")]
    return Record(
        network=subject.network,
        form=subject.form,
        tensor=region.tensor,
        operators=" + ".join(computing or names),
        route=route,
        kind=wrong.kind,
        fault=wrong.detail,
        real=real,
        status="ok" if verdict is None else verdict.status,
        cause="" if cause is None else cause.kind,
        detail="" if cause is None else cause.detail,
    )


def verified(subject: Subject, seed: int, keep: float = 1.0) -> Iterator[Record]:
    """``verify(A, B)`` of the whole network, with B faulty in one place: one fault of each kind in each region.

    The fault has to be found in the region that has it, and nowhere else.

    Args:
        subject: a small network.
        seed: of weights and bits.
        keep: share of the kinds, drawn at random for each region.
    """
    given = Samples("the samples", subject.feeds, None)
    for number, region in enumerate(subject.regions):
        baseline = Baseline(Place(subject, region))
        lot = np.random.default_rng([seed, number, 2])
        done = {kind for kind in KINDS if lot.random() >= keep}
        for wrong in faults(baseline.place, np.random.default_rng([seed, number])):
            if not wrong.written or wrong.kind in done:
                continue
            try:
                if not _shows(baseline, faulty(baseline, wrong), run(baseline.place, wrong)):
                    continue
                found = verify(subject.model, whole(subject, wrong), data=given, end_to_end=False)
            except ToolchainError:
                continue
            done.add(wrong.kind)
            yield _of_whole(baseline, wrong, found)


def _of_whole(baseline: Baseline, wrong: Wrong, found: Verification) -> Record:
    """What a whole verification says of the faulty region, and of others."""
    nodes = set(baseline.place.region.nodes)
    flagged = [(r, nodes & _judged(baseline.place.subject, r)) for r in found.regions if r.status != "ok"]
    here = next((r for r, faulty_nodes in flagged if faulty_nodes), None)
    made = record(baseline, wrong, "whole model", True, here)
    return replace(made, elsewhere=sum(not faulty_nodes for _, faulty_nodes in flagged))


def _judged(subject: Subject, region: RegionVerdict) -> set[str]:
    """The nodes that a verdict is about: of integers also those between them and the integers before."""
    judge = subject.integers
    exact = judge.regions.get(region.tensor) if judge is not None else None
    return {*region.nodes, *(exact.nodes if exact is not None else ())}
