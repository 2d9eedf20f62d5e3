"""What a run found, as frozen values: everything that a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toolchain.benchmark import Benchmark
    from toolchain.evaluate import Evaluation
    from toolchain.exported import Exported
    from toolchain.quantize import Quantization
    from toolchain.verify import Verification

Status = Literal["passed", "warned", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """One line of the outcome: a stage, or a budget.

    Attributes:
        stage: the stage that it belongs to.
        name: what was judged, a few words.
        status: ``warned`` is passed with something to know; ``error`` could not be judged.
        detail: what was found, one line.
        seconds: how long it took; 0 for a budget, which is only read off.
    """

    stage: str
    name: str
    status: Status
    detail: str
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Nothing that fails a gate."""
        return self.status in ("passed", "warned", "skipped")


@dataclass(frozen=True)
class Gallery:
    """Pictures with the right answer and the models' answers.

    Attributes:
        pictures: uint8 [N, C, height, width], C 1 or 3.
        labels: int64 [N], the right answers.
        answers: int64 [N] of the float model.
        int8_answers: int64 [N] of the int8 model; ``None`` without one.
        indices: int64 [N], where the pictures stand in the data.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    int8_answers: NDArray[np.int64] | None
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class Artifact:
    """A file of the output folder.

    Attributes:
        name: relative to the folder, with ``/``.
        size: bytes.
        sha256: of its content.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Findings:
    """Everything that a run found; ``None`` is what was not asked for or not reached.

    Attributes:
        name: of the recipe.
        title: heading.
        recipe: the recipe's text.
        verdicts: in the order in which they came.
        labels: names of the classes.
        exported: the float model.
        verification: of the float model.
        quantization: the int8 model, and both models' answers.
        int8_verification: of the int8 model.
        evaluation: of the float model.
        benchmark: both models.
        gallery: pictures with answers.
        artifacts: files written.
        environment: where this ran.
    """

    name: str
    title: str
    recipe: str
    verdicts: tuple[Verdict, ...] = ()
    labels: tuple[str, ...] = ()
    exported: Exported | None = None
    verification: Verification | None = None
    quantization: Quantization | None = None
    int8_verification: Verification | None = None
    evaluation: Evaluation | None = None
    benchmark: Benchmark | None = None
    gallery: Gallery | None = None
    artifacts: tuple[Artifact, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No stage failed, and no budget is exceeded."""
        return bool(self.verdicts) and all(verdict.ok for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        results = {
            "export": self.exported,
            "verify": self.verification,
            "quantize": self.quantization,
            "verify_int8": self.int8_verification,
            "evaluate": self.evaluation,
            "benchmark": self.benchmark,
        }
        return {
            "ok": self.ok,
            "name": self.name,
            "title": self.title,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            **{stage: None if result is None else result.to_dict() for stage, result in results.items()},
            "artifacts": [asdict(artifact) for artifact in self.artifacts],
            "environment": dict(self.environment),
            "recipe": self.recipe,
        }
