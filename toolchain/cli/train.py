"""``onnx-edge train``: the words of ``python -m models.train``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from models.hyperparameters import OPTIMIZERS, SCHEDULES, SELECTIONS
from toolchain.cli.common import FILE, emit, force_option, json_option

if TYPE_CHECKING:
    from models.training_result import TrainResult


@dataclass(frozen=True)
class Trained:
    """A training run's result for printing."""

    result: TrainResult

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {**asdict(self.result), "weights": str(self.result.weights)}


@click.command
@click.argument("net", metavar="NET")
@click.option("-o", "--out", type=FILE, help="File to write; by default NET.safetensors.")
@click.option("--data", metavar="DATA", help="NAME, NAME:train:COUNT, a folder or an .npz; by default NET's own.")
@click.option("--folder", type=FILE, help="Where the data set's files lie.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training data.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Over all processes.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="Method of descent.")
@click.option("--learning-rate", type=float, help="Its largest value.")
@click.option("--weight-decay", type=float, help="Decoupled from the gradient for adamw.")
@click.option("--schedule", type=click.Choice(SCHEDULES), help="Of the learning rate.")
@click.option("--warmup", type=float, help="Share of the steps in which the learning rate rises.")
@click.option("--averaging", type=float, help="Decay of the moving average of the weights.")
@click.option("--batch-norm/--no-batch-norm", default=None, help="While training; folded before saving.")
@click.option("--label-smoothing", type=float, help="Share of probability given to all classes alike.")
@click.option("--augmentation", metavar="NAME", help="none, digits, fashion or photos.")
@click.option("--select", type=click.Choice(SELECTIONS), help="Which epoch is saved, by validation.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of weights, order and augmentation."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="Of each process.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, if there is one.")
@click.option("--quiet", is_flag=True, help="No progress.")
@force_option
@json_option
def command(net: str, out: Path | None, quiet: bool, as_json: bool, **options: Any) -> None:
    """Train network NET and write its weights as .safetensors, with a card beside them.

    Options left out come from the network's own recipe. Under torchrun (-m toolchain.cli.main train NET) the
    processes share the work.
    """
    from models import zoo

    network = zoo.get(net)
    zoo.import_torch()
    from models.train import train

    target = out or Path(f"{net.rpartition(':')[2]}.safetensors")
    result = train(network, out=target, show_progress=not quiet, **options)
    if os.environ.get("RANK", "0") == "0":
        emit("train", Trained(result), as_json, render)


def render(trained: Trained) -> str:
    """What was written, and how good it is."""
    result = trained.result
    test = "" if result.test_accuracy is None else f", test {result.test_accuracy:.2%} of {result.test_count:,}"
    return (
        f"{result.weights}: {result.network} on {result.data}, epoch {result.epoch}, validation "
        f"{result.validation_accuracy:.2%} of {result.validation_count:,}{test}, {result.seconds:.0f} s\n"
        f"sha256 {result.sha256}"
    )
