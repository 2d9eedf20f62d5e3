"""What training gave: facts for the card, the command line and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.hyperparameters import Hyperparameters


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: from 1.
        samples: training pictures seen, over all processes.
        loss: mean over them.
        accuracy: of the network in training on the augmented pictures, share.
        validation_accuracy: of the averaged network on the validation pictures, share.
    """

    number: int
    samples: int
    loss: float
    accuracy: float
    validation_accuracy: float


@dataclass(frozen=True)
class TrainResult:
    """What a training run gave.

    Attributes:
        network: its name.
        origin: the words that name it on a command line.
        data: name of the data set.
        hyperparameters: of the run.
        seed: of the run.
        weights: the file written; its card lies beside it, with the suffix ``.md``.
        sha256: of that file.
        parameters: of the network as saved.
        train_count: training pictures.
        validation_accuracy: of the saved weights, share.
        validation_count: pictures.
        test_accuracy: of the saved weights, share; ``None`` where the data has no test pictures.
        test_count: pictures.
        epoch: whose weights were saved.
        seconds: of training, over all starts of the run.
        processes: number of them.
        threads: of each process.
        device: kind of device.
        history: every epoch.
    """

    network: str
    origin: str
    data: str
    hyperparameters: Hyperparameters
    seed: int
    weights: Path
    sha256: str
    parameters: int
    train_count: int
    validation_accuracy: float
    validation_count: int
    test_accuracy: float | None
    test_count: int
    epoch: int
    seconds: float
    processes: int
    threads: int
    device: str
    history: tuple[Epoch, ...]
