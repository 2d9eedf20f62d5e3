"""What the random graphs found: each known parting of ONNX Runtime, and who parts on its example."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from tests.graphs.exclusions import EXCLUSIONS
from tests.graphs.sketch import Graph
from tests.house.generated_disagreements import same
from toolchain.reference import Reference

Answers = tuple[NDArray[np.generic], ...]
LEVELS = ort.GraphOptimizationLevel


def _runtime(level: ort.GraphOptimizationLevel) -> Callable[[Graph], Answers]:
    def ask(graph: Graph) -> Answers:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(graph.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return tuple(session.run(None, dict(graph.feeds)))

    return ask


IMPLEMENTATIONS: dict[str, Callable[[Graph], Answers]] = {
    "ONNX Runtime as it stands": _runtime(LEVELS.ORT_DISABLE_ALL),
    "optimised": _runtime(LEVELS.ORT_ENABLE_ALL),
    "onnx.reference": lambda graph: tuple(ReferenceEvaluator(graph.proto).run(None, dict(graph.feeds))),
}


def _status(ask: Callable[[Graph], Answers], graph: Graph, meant: Answers) -> str:
    """``agrees``, ``differs`` or ``refuses``: whatever an implementation raises on a correct graph is a refusal."""
    try:
        answers = ask(graph)
    except Exception:  # noqa: BLE001
        return "refuses"
    return "agrees" if all(map(same, meant, map(np.asarray, answers))) else "differs"


def table() -> str:
    """Markdown: a row for each exclusion of the random graphs."""
    logging.getLogger("onnx").setLevel(logging.ERROR)
    lines = [f"| case | the verdict and its ground | {' | '.join(IMPLEMENTATIONS)} |", "|---" * 5 + "|"]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for entry in EXCLUSIONS:
            graph = entry.example()
            answers = Reference(ir.from_proto(graph.proto)).run(graph.feeds)
            meant = tuple(answers[output.name] for output in graph.proto.graph.output)
            cells = [_status(ask, graph, meant) for ask in IMPLEMENTATIONS.values()]
            reason = entry.reason.replace("|", "\\|").replace("``", "`")
            lines.append(f"| {entry.name} | {reason} | {' | '.join(cells)} |")
    return "\n".join(lines)
