"""Train a network: ``python -m models.train NET``, or ``torchrun --nproc-per-node N -m models.train NET``.

``onnx-edge train`` takes the same words. The loop is in ``models/training.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from models import zoo
from models.errors import ModelsError
from models.hyperparameters import OPTIMIZERS, SCHEDULES, SELECTIONS
from models.training import train
from models.training_result import TrainResult

__all__ = ["TrainResult", "main", "parser", "train"]


def parser() -> argparse.ArgumentParser:
    """The options; those left out come from ``models.hyperparameters``."""
    options = argparse.ArgumentParser(prog="python -m models.train", description="Train a network.")
    options.add_argument("network", help=f"{', '.join(zoo.names())}, or package.module:callable")
    options.add_argument("-o", "--out", type=Path, help="file to write (default: NETWORK.safetensors)")
    options.add_argument("--data", help="data set, NAME:train:COUNT, folder or .npz (default: the network's)")
    options.add_argument("--folder", type=Path, help="where the data set's files lie")
    options.add_argument("--epochs", type=int)
    options.add_argument("--batch-size", type=int, help="over all processes")
    options.add_argument("--optimizer", choices=OPTIMIZERS)
    options.add_argument("--learning-rate", type=float)
    options.add_argument("--weight-decay", type=float)
    options.add_argument("--schedule", choices=SCHEDULES)
    options.add_argument("--warmup", type=float, help="share of the steps")
    options.add_argument("--averaging", type=float, help="decay of the moving average of the weights")
    options.add_argument("--batch-norm", action=argparse.BooleanOptionalAction, help="folded before saving")
    options.add_argument("--label-smoothing", type=float)
    options.add_argument("--augmentation", help="none, digits, fashion or photos")
    options.add_argument("--select", choices=SELECTIONS, help="which epoch is saved, by validation")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    options.add_argument("--threads", type=int, help="of each process")
    options.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    options.add_argument("--force", action="store_true", help="overwrite")
    options.add_argument("--quiet", action="store_true", help="no progress")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Train; one line about the result on standard output."""
    given = vars(parser().parse_args(arguments))
    name, quiet = given.pop("network"), given.pop("quiet")
    given["out"] = given["out"] or Path(f"{name.rpartition(':')[2]}.safetensors")
    try:
        result = train(zoo.get(name), show_progress=not quiet, **given)
    except ModelsError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command with --resume goes on from the last checkpoint")
    test = "" if result.test_accuracy is None else f", test {result.test_accuracy:.2%} of {result.test_count}"
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(
            f"{result.weights}: validation {result.validation_accuracy:.2%} of {result.validation_count}{test}\n"
        )


if __name__ == "__main__":
    main()
