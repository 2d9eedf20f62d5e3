"""The card beside a weights file: what it is, how good it is, and how to make it again."""

from __future__ import annotations

import platform
from dataclasses import fields
from pathlib import Path

from models import zoo
from models.files import replacing
from models.hyperparameters import defaults
from models.training_result import TrainResult

LICENCES = {
    "mnist": "Apache-2.0 (weights); trained on MNIST (Y. LeCun, C. Cortes, C. Burges), CC BY-SA 3.0",
    "fashion-mnist": "Apache-2.0 (weights); trained on Fashion-MNIST (Zalando SE), MIT",
    "cifar10": "Apache-2.0 (weights); trained on CIFAR-10 (A. Krizhevsky), which states no licence",
}


def write(result: TrainResult, path: Path) -> None:
    """Write the card, whole or not at all.

    Raises:
        DataFileError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text(result), encoding="utf-8")


def text(result: TrainResult) -> str:
    """The card in Markdown."""
    chosen = result.hyperparameters
    test = "none"
    if result.test_accuracy is not None:
        test = f"**{result.test_accuracy:.2%}** on {result.test_count:,} pictures"
        test += ", looked at once, after training"
    rows = [
        ("Network", f"`{result.network}`, {result.parameters:,} parameters"),
        ("Data", f"{result.data}: {result.train_count:,} training pictures"),
        ("Augmentation", f"`{chosen.augmentation}` (`models/augment.py`)"),
        ("Seed", str(result.seed)),
        ("Epochs", f"{chosen.epochs}; the saved weights are those of epoch {result.epoch}"),
        ("Optimizer", _optimizer(result)),
        (
            "Validation",
            f"{result.validation_accuracy:.2%} on {result.validation_count:,} pictures (the epoch was chosen by it)",
        ),
        ("Test", test),
        ("File", f"`{result.weights.name}`, sha256 `{result.sha256}`"),
        ("Time", f"{result.seconds / 60:.0f} minutes on {machine(result)}"),
        ("Licence", _licence(result)),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {result.network}\n\n| | |\n|---|---|\n{table}\n\n"
        f"Trained by, and trained again by:\n\n```\n{command(result)}\n```\n\n"
        "The same command gives the same bits on the same kind of machine with the same version of PyTorch; "
        "elsewhere the order of additions differs, and with it the last digits.\n"
    )


def command(result: TrainResult) -> str:
    """The command line of the run, without what is default."""
    words = ["python -m models.train", result.origin]
    if result.processes > 1:
        words[0] = f"torchrun --nproc-per-node {result.processes} -m models.train"
    if result.network not in zoo.names() or zoo.get(result.network).data != result.data:
        words.append(f"--data {result.data}")
    standard = defaults(result.network)
    for each in fields(standard):
        value = getattr(result.hyperparameters, each.name)
        if value != getattr(standard, each.name):
            option = each.name.replace("_", "-")
            words.append(
                f"--{option} {value}" if not isinstance(value, bool) else f"--{'' if value else 'no-'}{option}"
            )
    if result.seed != 1:
        words.append(f"--seed {result.seed}")
    words.append(f"--threads {result.threads}")
    if result.device != "cpu":
        words.append(f"--device {result.device}")
    return " ".join(words)


def machine(result: TrainResult) -> str:
    """The class of this machine, for people."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    where = f"{result.processes} x {result.threads} thread{'s' * (result.threads > 1)} of an {processor} server"
    return where if result.device == "cpu" else f"{result.processes} x {result.device}"


def _licence(result: TrainResult) -> str:
    """Of weights and data; the weights of a network that is not ours belong to whoever trained them."""
    if result.network in zoo.names():
        return LICENCES.get(result.data.split(":")[0], "that of the data it was trained on")
    return f"yours to choose; mind that of the data, {result.data}"


def _optimizer(result: TrainResult) -> str:
    chosen = result.hyperparameters
    extras = [f"weights averaged with decay {chosen.averaging:g} a step"] if chosen.averaging else []
    if chosen.batch_norm:
        extras.append("batch normalisation during training, folded into the convolutions")
    if chosen.label_smoothing:
        extras.append(f"label smoothing {chosen.label_smoothing:g}")
    return (
        f"{chosen.optimizer}, learning rate {chosen.learning_rate:g} ({chosen.schedule}), "
        f"weight decay {chosen.weight_decay:g}, batches of {chosen.batch_size}"
        + "".join(f"; {extra}" for extra in extras)
    )
