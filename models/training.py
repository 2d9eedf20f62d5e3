"""Training: one loop for one process and for several under ``torchrun``.

The weights are chosen on the validation pictures; the test pictures are looked at once, when all is done. What is
drawn at random depends on the seed and the step's number alone, and is drawn for the whole batch, so several
processes compute what one would, and a run that was killed goes on to the same weights.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from models import augment, batchnorm, card, processes, progress, training_data, training_state, zoo
from models.errors import DataFileError, OutputExistsError, UsageError
from models.files import replacing
from models.hyperparameters import Hyperparameters, changed
from models.processes import Processes
from models.training_data import TrainingData
from models.training_result import Epoch, TrainResult
from models.training_state import TrainingState
from models.zoo import Network

CHECKPOINT_SECONDS = 60.0
EVALUATION_BATCH = 500


def train(
    network: Network | str,
    *,
    out: Path,
    data: str | None = None,
    seed: int = 1,
    device: str = "cpu",
    threads: int | None = None,
    resume: bool = False,
    force: bool = False,
    show_progress: bool = True,
    folder: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    **changes: Any,
) -> TrainResult:
    """Train a network and write its weights, with a card beside them.

    Args:
        network: from ``models.zoo``, or its name there.
        out: the ``.safetensors`` file to write. Until it is done, a ``.checkpoint`` lies beside it.
        data: name of a data set, ``NAME:train:COUNT`` for the first training pictures, a folder with the
            sub-folders ``train``, ``validation`` and perhaps ``test``, or a folder of one sub-folder a class
            or an ``.npz``, of which every tenth picture is kept for validation. Left out: the network's own.
        seed: of everything that is random.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: of each process; left out, PyTorch's default.
        resume: go on from the checkpoint, if there is one.
        force: overwrite weights and checkpoint.
        show_progress: on standard error: bars on a terminal, else a line an epoch.
        folder: where the data set's files lie (see ``models.datasets.load``).
        on_epoch: called in process 0 after each epoch.
        **changes: fields of ``Hyperparameters`` in place of the network's defaults; ``None`` is left out.

    Returns:
        What it gave; the same in every process.

    Raises:
        UsageError: an option makes no sense, or a file would be overwritten.
        DataFileError: data or checkpoint cannot be read, or a file not be written.
        MissingDependencyError: the device is not there.
    """
    network = zoo.get(network) if isinstance(network, str) else network
    chosen = changed(network.name, changes)
    with processes.join(device) as mine, processes.settings(threads):
        _check_output(out, resume=resume, force=force)
        pictures = training_data.load(data or network.data, network.input, network.labels, folder)
        run = Run(network, chosen, pictures, seed, mine, _checkpoint_path(out))
        state = run.start(resume=resume)
        with progress.reporter(
            network.name, chosen.epochs, run.steps_per_epoch, state, shown=show_progress and mine.rank == 0
        ) as report:
            run.finish(state, report, on_epoch)
        return _save(run, state, out)


@dataclass(frozen=True)
class Run:
    """What does not change while a network is trained."""

    network: Network
    chosen: Hyperparameters
    data: TrainingData
    seed: int
    processes: Processes
    checkpoint: Path

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.data.train_labels) / self.chosen.batch_size)

    @property
    def facts(self) -> dict[str, Any]:
        """On what the weights depend; a checkpoint is of this run if these are equal."""
        return {
            "network": self.network.name,
            "data": self.data.name,
            "pictures": len(self.data.train_labels),
            "seed": self.seed,
            "processes": self.processes.count,
            "device": self.processes.device.type,
            "threads": torch.get_num_threads(),
            **asdict(self.chosen),
        }

    def start(self, *, resume: bool) -> TrainingState:
        """A fresh state, or that of the checkpoint."""
        torch.manual_seed(self.seed)
        module = self.network.build()
        if self.chosen.batch_norm:
            module = batchnorm.insert(module)
        state = training_state.create(module.to(self.processes.device).train(), self.chosen)
        if resume and self.checkpoint.exists():
            training_state.load(state, self.checkpoint, self.facts)
        return state

    def finish(self, state: TrainingState, report: Callable[[TrainingState], None], on_epoch: Any = None) -> None:
        """Do all steps that are left."""
        trained: torch.nn.Module = state.module
        if self.processes.count > 1:
            trained = torch.nn.parallel.DistributedDataParallel(state.module)
        images = torch.from_numpy(self.data.train_images).to(self.processes.device)
        labels = torch.from_numpy(self.data.train_labels).to(self.processes.device)
        saved = since = time.monotonic()
        order: list[NDArray[np.int64]] = []
        last = self.steps_per_epoch * self.chosen.epochs
        while state.step < last:
            epoch, position = divmod(state.step, self.steps_per_epoch)
            if not order or position == 0:
                order = batches(len(labels), self.chosen.batch_size, self.seed, epoch)
            self._step(state, trained, images, labels, order[position])
            ended = position + 1 == self.steps_per_epoch
            if ended:
                self._end_epoch(state, epoch, on_epoch)
            now = time.monotonic()
            # The first checkpoint comes with the first step: a place that cannot be written shows at once.
            if ended or state.step == 1 or now - saved > CHECKPOINT_SECONDS:
                state.seconds += now - since
                saved = since = now
                if self.processes.rank == 0:
                    training_state.save(state, self.checkpoint, self.facts)
            report(state)

    def _step(
        self,
        state: TrainingState,
        trained: torch.nn.Module,
        images: torch.Tensor,
        labels: torch.Tensor,
        batch: NDArray[np.int64],
    ) -> None:
        """One step of the optimizer on this process's share of a batch."""
        rank, count, device = self.processes.rank, self.processes.count, self.processes.device
        generator = torch.Generator().manual_seed(seed_of(self.seed, 1, state.step))
        recipe = augment.recipe(self.chosen.augmentation)
        drawn = augment.draw(recipe, len(batch), self.network.input.shape, generator)
        part = slice(rank, None, count)
        chosen = torch.from_numpy(batch[part]).to(device)
        pictures = augment.apply(images[chosen], drawn.share(part, device))
        torch.manual_seed(seed_of(self.seed, 2, state.step, rank))
        rate = learning_rate(state.step, self.steps_per_epoch * self.chosen.epochs, self.chosen)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        scores = trained(normalized(pictures, self.network.input.mean, self.network.input.std))
        loss = torch.nn.functional.cross_entropy(
            scores, labels[chosen], label_smoothing=self.chosen.label_smoothing, reduction="sum"
        )
        state.optimizer.zero_grad(set_to_none=True)
        # Processes average their gradients: scaled like this, that is the mean over the whole batch.
        (loss * (count / len(batch))).backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        state.average.update_parameters(state.module)
        state.step += 1
        right = (scores.detach().argmax(1) == labels[chosen]).sum()
        totals = torch.stack([loss.detach(), right, right.new_tensor(len(chosen))]).double()
        if count > 1:
            torch.distributed.all_reduce(totals)
        state.totals += totals.cpu()

    def _end_epoch(self, state: TrainingState, epoch: int, on_epoch: Any) -> None:
        if self.processes.rank == 0:
            loss, right, samples = state.totals.tolist()
            averaged = state.average.module
            validation = self.accuracy(averaged, self.data.validation_images, self.data.validation_labels)
            done = Epoch(epoch + 1, int(samples), loss / samples, right / samples, validation)
            state.history.append(done)
            # Of equals the later one: it has seen more.
            if self.chosen.select == "last" or validation >= state.best_accuracy:
                state.best_accuracy = validation
                state.best = {key: value.clone() for key, value in averaged.state_dict().items()}
            if on_epoch is not None:
                on_epoch(done)
        state.totals = torch.zeros_like(state.totals)

    def accuracy(self, module: torch.nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """Share of right answers; pictures are prepared as on a device."""
        right = 0
        with torch.inference_mode():
            for start in range(0, len(labels), EVALUATION_BATCH):
                part = slice(start, start + EVALUATION_BATCH)
                tensor = torch.from_numpy(self.network.input.tensor(images[part]))
                answers = module(tensor.to(self.processes.device)).argmax(1).cpu().numpy()
                right += int((answers == labels[part]).sum())
        return right / len(labels)


def seed_of(*numbers: int) -> int:
    """A seed of 63 bits from whole numbers, by SHA-256: neighbours have nothing in common."""
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def batches(count: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The batches of one epoch: every index once, in an order of the epoch's own, sizes equal but for 1."""
    generator = torch.Generator().manual_seed(seed_of(seed, 0, epoch))
    order = torch.randperm(count, generator=generator).numpy()
    return np.array_split(order, math.ceil(count / batch_size))


def learning_rate(step: int, steps: int, chosen: Hyperparameters) -> float:
    """Of a step, counted from 0."""
    if chosen.schedule == "constant":
        return chosen.learning_rate
    warm = chosen.warmup * steps
    low = chosen.learning_rate / 25
    if step < warm:
        return low + (chosen.learning_rate - low) * (1 - math.cos(math.pi * step / warm)) / 2
    return chosen.learning_rate * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def normalized(pictures: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Float [N, C, H, W] of 0..255 -> ``(v / 255 - mean) / std``."""
    center = torch.tensor(mean, device=pictures.device).view(1, -1, 1, 1)
    width = torch.tensor(std, device=pictures.device).view(1, -1, 1, 1)
    return (pictures / 255 - center) / width


def _save(run: Run, state: TrainingState, out: Path) -> TrainResult:
    """Write the chosen weights in the network's published form, judge them, and write their card."""
    results: list[Any] = [None]
    if run.processes.rank == 0:
        module = run.network.build()
        if run.chosen.batch_norm:
            module = batchnorm.insert(module)
        module.load_state_dict(state.best)
        module = batchnorm.fold(module).to(run.processes.device)
        tensors = {key: value.cpu().contiguous() for key, value in module.state_dict().items()}
        with replacing(out) as temporary:
            temporary.write_bytes(safetensors.torch.save(tensors))
        results[0] = _judge(run, state, module, out)
        card.write(results[0], out.with_suffix(".md"))
        run.checkpoint.unlink(missing_ok=True)
    if run.processes.count > 1:
        torch.distributed.broadcast_object_list(results)
    result: TrainResult = results[0]
    return result


def _judge(run: Run, state: TrainingState, module: torch.nn.Module, out: Path) -> TrainResult:
    data = run.data
    validation = run.accuracy(module, data.validation_images, data.validation_labels)
    test = run.accuracy(module, data.test_images, data.test_labels) if len(data.test_labels) else None
    chosen = [epoch for epoch in state.history if epoch.validation_accuracy == state.best_accuracy][-1]
    return TrainResult(
        network=run.network.name,
        origin=run.network.origin or run.network.name,
        data=data.name,
        hyperparameters=run.chosen,
        seed=run.seed,
        weights=out,
        sha256=hashlib.sha256(out.read_bytes()).hexdigest(),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        train_count=len(data.train_labels),
        validation_accuracy=validation,
        validation_count=len(data.validation_labels),
        test_accuracy=test,
        test_count=len(data.test_labels),
        epoch=chosen.number,
        seconds=state.seconds,
        processes=run.processes.count,
        threads=torch.get_num_threads(),
        device=run.processes.device.type,
        history=tuple(state.history),
    )


def _checkpoint_path(out: Path) -> Path:
    return out.with_suffix(".checkpoint")


def _check_output(out: Path, *, resume: bool, force: bool) -> None:
    if out.suffix != ".safetensors":
        raise UsageError(f"weights go to a .safetensors file, received {out}")
    if not out.absolute().parent.is_dir():
        raise DataFileError(f"cannot write {out}: its folder does not exist; create it first")
    if out.exists() and not force:
        raise OutputExistsError(out)
    checkpoint = _checkpoint_path(out)
    if checkpoint.exists() and not resume and not force:
        raise UsageError(
            f"{checkpoint} is the checkpoint of a run that did not end; --resume goes on with it, --force starts anew"
        )
