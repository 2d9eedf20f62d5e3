"""How each network of the zoo is trained, unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from models.errors import UnknownNameError, UsageError

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
SELECTIONS = ("best", "last")


@dataclass(frozen=True)
class Hyperparameters:
    """Everything, beside the data and the seed, on which the trained weights depend.

    Attributes:
        epochs: how often every training picture is seen.
        batch_size: pictures a step, over all processes.
        optimizer: AdamW, or SGD with Nesterov momentum 0.9.
        learning_rate: the highest.
        weight_decay: of the optimizer.
        schedule: ``cosine``: a rise over the first ``warmup`` of the steps, then a fall to zero.
        warmup: share of the steps.
        averaging: decay of the exponential moving average of the weights, a step; the average is what is
            judged and saved. 0 leaves it out.
        batch_norm: train with batch normalisation behind the convolutions, and fold it into them at the end.
        label_smoothing: share of the label spread over all classes.
        augmentation: name in ``models.augment.RECIPES``.
        select: save the weights of the epoch that is best on the validation pictures, or of the last.
    """

    epochs: int = 40
    batch_size: int = 256
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 0.004
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.15
    averaging: float = 0.999
    batch_norm: bool = False
    label_smoothing: float = 0.0
    augmentation: str = "digits"
    select: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("selection", self.select, SELECTIONS),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)
        if self.epochs < 1 or self.batch_size < 1:
            raise UsageError(f"epochs is {self.epochs} and batch size {self.batch_size}; both must be 1 or more")
        if not 0 < self.learning_rate < float("inf") or not 0 <= self.weight_decay < float("inf"):
            raise UsageError(f"learning rate {self.learning_rate} or weight decay {self.weight_decay} is negative")
        if not (0 <= self.warmup < 1 and 0 <= self.averaging < 1 and 0 <= self.label_smoothing < 1):
            raise UsageError("warmup, averaging and label smoothing must lie in 0..1, below 1")


DEFAULTS = {
    "lenet5": Hyperparameters(),
    "lenet5-relu": Hyperparameters(learning_rate=0.008, batch_norm=True),
    "lenet5-fashion": Hyperparameters(augmentation="fashion"),
    "example-cnn": Hyperparameters(learning_rate=0.01, batch_norm=True),
    "alexnet": Hyperparameters(epochs=90, learning_rate=0.001, augmentation="photos"),
    "alexnet-torchvision": Hyperparameters(epochs=90, learning_rate=0.001, augmentation="photos"),
    "vgg16": Hyperparameters(epochs=74, batch_size=128, learning_rate=0.0005, augmentation="photos"),
}


def defaults(network: str) -> Hyperparameters:
    """Of a network; for one outside the zoo plain ones, without augmentation."""
    return DEFAULTS.get(network, Hyperparameters(learning_rate=0.001, augmentation="none"))


def changed(network: str, changes: dict[str, Any]) -> Hyperparameters:
    """A network's defaults with some fields changed; ``None`` stands for no change.

    Raises:
        UsageError: no such field, or a value that makes no sense.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    unknown = given.keys() - Hyperparameters.__dataclass_fields__.keys()
    if unknown:
        raise UsageError(f"unknown hyperparameters: {', '.join(sorted(unknown))}")
    return replace(defaults(network), **given)
