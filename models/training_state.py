"""The whole state of a training run, and its checkpoint: one safetensors file, written whole or not at all.

Random numbers need no state: every draw depends on the seed and the number of the epoch or step alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch.optim.swa_utils import AveragedModel

from models.errors import DataFileError, UsageError
from models.files import replacing
from models.hyperparameters import Hyperparameters
from models.training_result import Epoch

FORMAT_VERSION = 1
METADATA_KEY = "onnx-edge.training"


@dataclass
class TrainingState:
    """What a step changes.

    Attributes:
        module: the network in training.
        optimizer: of its parameters.
        average: the exponential moving average of its parameters and buffers.
        step: steps done.
        totals: float64 [3] of the current epoch: sum of the losses, right answers, pictures.
        history: epochs done.
        best: the state dict to be saved, and the accuracy that chose it.
        best_accuracy: on the validation pictures; -1 before the first epoch's end.
        seconds: of training until ``step``.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel
    step: int = 0
    totals: torch.Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0
    seconds: float = 0.0


def create(module: torch.nn.Module, chosen: Hyperparameters) -> TrainingState:
    """The state before the first step."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if chosen.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters,
            chosen.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=chosen.weight_decay,
        )
    else:
        optimizer = torch.optim.AdamW(parameters, chosen.learning_rate, weight_decay=chosen.weight_decay)

    def mix(averaged: Any, current: Any, steps: Any) -> None:
        # The decay starts low, so that the first weights do not linger in the average of a short run.
        decay = min(chosen.averaging, (1 + float(steps)) / (10 + float(steps))) if chosen.averaging else 0.0
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)

    with torch.no_grad():
        average = AveragedModel(module, multi_avg_fn=mix, use_buffers=True)
    average.eval()
    return TrainingState(module, optimizer, average)


def save(state: TrainingState, path: Path, run: dict[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        state: of the run.
        path: of the checkpoint.
        run: what the run is; a later :func:`load` must give the same.

    Raises:
        DataFileError: it cannot be written.
    """
    tensors = {f"module.{key}": value for key, value in state.module.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in state.average.state_dict().items()}
    tensors |= {f"best.{key}": value for key, value in state.best.items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items() if value is not None}
    tensors["totals"] = state.totals
    facts = {
        "version": FORMAT_VERSION,
        "run": run,
        "step": state.step,
        "history": [asdict(epoch) for epoch in state.history],
        "best_accuracy": state.best_accuracy,
        "seconds": state.seconds,
    }
    copies = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(copies, metadata={METADATA_KEY: json.dumps(facts)}))


def load(state: TrainingState, path: Path, run: dict[str, Any]) -> None:
    """Bring a fresh state to that of a checkpoint.

    Raises:
        DataFileError: it cannot be read or is no checkpoint of this network.
        UsageError: it belongs to a run with other options.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[METADATA_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        if facts["version"] != FORMAT_VERSION:
            raise DataFileError(f"{path} is a checkpoint of version {facts['version']}; remove it and start anew")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataFileError(f"{path} is no readable checkpoint ({error}); remove it and start anew") from error
    for key in sorted(run.keys() | facts["run"].keys()):
        mine, its = run.get(key), facts["run"].get(key)
        if mine != its:
            raise UsageError(
                f"{path} belongs to another run: {key} is {its!r} there and {mine!r} here; give the same "
                "options, or start anew with --force"
            )
    try:
        _restore(state, tensors, facts)
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DataFileError(f"{path} does not fit this network: {error}; remove it and start anew") from error


def _restore(state: TrainingState, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    state.module.load_state_dict(part("module."))
    state.average.load_state_dict(part("average."))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part("optimizer.").items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.best = part("best.")
    state.totals = tensors["totals"]
    state.step = facts["step"]
    state.history = [Epoch(**epoch) for epoch in facts["history"]]
    state.best_accuracy = facts["best_accuracy"]
    state.seconds = facts["seconds"]
