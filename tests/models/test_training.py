from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("kornia", reason="training needs the extra 'train'")

import safetensors.torch  # noqa: E402

from models import hyperparameters, training, training_state, zoo  # noqa: E402
from models.errors import (  # noqa: E402
    DataFileError,
    MissingDependencyError,
    OutputExistsError,
    UnknownNameError,
    UsageError,
)
from models.hyperparameters import Hyperparameters  # noqa: E402
from tests.models import tiny  # noqa: E402

ROOT = Path(__file__).parents[2]
FAST: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.01,
    "threads": 1,
    "show_progress": False,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.write_data(tmp_path_factory.mktemp("data") / "tiny.npz"))


def run(folder: Path, data: str, **options: Any) -> training.TrainResult:
    return training.train(tiny.network(), out=folder / "tiny.safetensors", data=data, **{**FAST, **options})


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_learns_and_repeats(tmp_path: Path, data: str, optimizer: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    options = {
        "optimizer": optimizer,
        "epochs": 8,
        "augmentation": "fashion",
        "batch_norm": True,
        "learning_rate": 0.05,
    }
    first = run(tmp_path / "a", data, **options)
    torch.rand(5)  # the caller's random state is none of its business
    again = run(tmp_path / "b", data, **options)
    other = run(tmp_path / "b", data, **options, seed=2, force=True)
    assert first.sha256 == again.sha256
    assert first.sha256 != other.sha256
    assert first.history == again.history
    assert first.validation_accuracy >= 0.9
    assert first.history[0].loss > first.history[-1].loss
    assert all(epoch.samples == first.train_count == tiny.COUNT - tiny.HELD_OUT for epoch in first.history)
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_the_callers_random_state_and_threads_come_back(tmp_path: Path, data: str) -> None:
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    run(tmp_path, data, epochs=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_saved_weights_are_of_the_published_form(tmp_path: Path, data: str) -> None:
    result = run(tmp_path, data, batch_norm=True, epochs=1)
    state = safetensors.torch.load_file(result.weights)
    assert {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in tiny.TinyNet().state_dict().items()
    }
    assert result.parameters == sum(value.numel() for value in state.values())
    module = zoo.module(tiny.network(), result.weights)
    assert not module.training


def test_the_best_epoch_is_chosen_by_validation_alone(tmp_path: Path, data: str) -> None:
    result = run(tmp_path, data, epochs=5)
    validation = [epoch.validation_accuracy for epoch in result.history]
    best = max(range(5), key=lambda index: (validation[index], index))
    assert result.epoch == best + 1
    assert result.validation_accuracy == validation[best]
    last = run(tmp_path, data, epochs=5, select="last", force=True)
    assert last.epoch == 5
    assert last.validation_accuracy == last.history[-1].validation_accuracy
    assert result.test_accuracy is None


KILLED = """
import os, signal, sys
from pathlib import Path
from models import training
from tests.models import tiny

training.CHECKPOINT_SECONDS = 0.0 if sys.argv[2] == "every" else 1e9
step = training.Run._step

def deadly(run, state, *arguments):
    if state.step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    step(run, state, *arguments)

training.Run._step = deadly
training.train(tiny.network(), out=Path("tiny.safetensors"), data=sys.argv[1], epochs=3, batch_size=16,
               learning_rate=0.01, threads=1, show_progress=False, augmentation="digits", batch_norm=True)
"""


@pytest.mark.parametrize(("checkpoints", "killed_at"), [("every", 9), ("first", 4)])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, data: str, checkpoints: str, killed_at: int) -> None:
    (tmp_path / "whole").mkdir()
    options = {"augmentation": "digits", "batch_norm": True}
    whole = run(tmp_path / "whole", data, **options)
    killed = python(tmp_path, "-c", KILLED, data, checkpoints, str(killed_at))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "tiny.safetensors").exists()
    assert (tmp_path / "tiny.checkpoint").exists()
    with pytest.raises(UsageError, match="--resume goes on with it"):
        run(tmp_path, data, **options)
    with pytest.raises(UsageError, match="batch_size is 16 there and 8 here"):
        run(tmp_path, data, **{**options, "batch_size": 8}, resume=True)
    resumed = run(tmp_path, data, **options, resume=True)
    assert resumed.sha256 == whole.sha256
    assert resumed.history == whole.history
    assert not (tmp_path / "tiny.checkpoint").exists()


def test_a_broken_checkpoint_is_said_to_be_broken(tmp_path: Path, data: str) -> None:
    (tmp_path / "tiny.checkpoint").write_bytes(b"\x08\0\0\0\0\0\0\0{}broken")
    with pytest.raises(DataFileError, match="no readable checkpoint"):
        run(tmp_path, data, resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, data: str) -> None:
    facts = {"any": 1}
    state = training_state.create(torch.nn.Linear(2, 2), Hyperparameters())
    training_state.save(state, tmp_path / "other.checkpoint", facts)
    mine = training_state.create(tiny.TinyNet(), Hyperparameters())
    with pytest.raises(DataFileError, match="does not fit this network"):
        training_state.load(mine, tmp_path / "other.checkpoint", facts)


RANKS = """
import json, os, sys
from pathlib import Path
from models import training
from tests.models import tiny

seen = []
threads = []
normalized = training.normalized

def gloo_threads():
    return sum("gloo" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))

def watched(pictures, mean, std):
    seen.append(pictures[:, 0, 0, 0].int().tolist())
    threads.append(gloo_threads())
    return normalized(pictures, mean, std)

training.normalized = watched
result = training.train(tiny.network(), out=Path("two.safetensors"), data=sys.argv[1], epochs=3, batch_size=16,
                        learning_rate=0.01, threads=1, show_progress=False, augmentation="none")
Path(f"rank{os.environ['RANK']}.json").write_text(json.dumps({
    "seen": seen, "threads": [max(threads), gloo_threads()], "sha256": result.sha256,
    "samples": [epoch.samples for epoch in result.history],
    "accuracy": result.validation_accuracy, "losses": [epoch.loss for epoch in result.history]}))
"""


def test_two_processes_see_each_picture_once_and_give_what_one_gives(
    tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    script = tmp_path / "ranks.py"
    script.write_text(NO_DROPOUT + RANKS.replace("tiny.network()", "replace(tiny.network(), build=no_dropout)"))
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), data)
    done = python(tmp_path, *launch)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    one = training.train(
        replace(tiny.network(), build=no_dropout),
        out=tmp_path / "one.safetensors",
        data=data,
        **FAST,
        augmentation="none",
    )
    steps = len(ranks[0]["seen"]) // 3
    for epoch in range(3):
        part = slice(epoch * steps, (epoch + 1) * steps)
        seen = [number for rank in ranks for step in rank["seen"][part] for number in step]
        assert len(seen) == len(set(seen)) == one.train_count
    assert ranks[0]["samples"] == ranks[1]["samples"] == [one.train_count] * 3
    assert ranks[0]["sha256"] == ranks[1]["sha256"]
    assert ranks[0]["accuracy"] == one.validation_accuracy
    assert ranks[0]["losses"] == pytest.approx([epoch.loss for epoch in one.history], rel=1e-5)
    if sys.platform == "linux":
        # A thread of gloo's that outlives the training may abort the process while the interpreter ends.
        for rank in ranks:
            during, afterwards = rank["threads"]
            assert during > 0
            assert afterwards == 0
    two = safetensors.torch.load_file(tmp_path / "two.safetensors")
    for key, value in safetensors.torch.load_file(one.weights).items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-5)


NO_DROPOUT = """
from dataclasses import replace
from torch import nn

def no_dropout():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
"""


def no_dropout() -> torch.nn.Module:
    names: dict[str, Any] = {}
    exec(NO_DROPOUT, names)  # noqa: S102 - the same text that the processes run
    module: torch.nn.Module = names["no_dropout"]()
    return module


def test_the_command_line_under_torchrun(tmp_path: Path, data: str) -> None:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "models.train")
    words = ("tests.models.tiny:network", "--data", data, "--epochs", "2", "--threads", "1", "-o", "n.safetensors")
    done = python(tmp_path, *launch, *words)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"n\.safetensors: validation [\d.]+% of 9\n", done.stdout)
    assert done.stderr.count("epoch 2/2") == 1
    card = (tmp_path / "n.md").read_text()
    assert f"torchrun --nproc-per-node 2 -m models.train tests.models.tiny:network --data {data}" in card


def test_batches_hold_every_index_once() -> None:
    for count, size in ((1, 256), (256, 256), (257, 256), (1000, 7), (103, 16)):
        batches = training.batches(count, size, seed=3, epoch=1)
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        sizes = {len(batch) for batch in batches}
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
    assert not np.array_equal(*(training.batches(99, 99, seed=3, epoch=epoch)[0] for epoch in (0, 1)))
    assert not np.array_equal(*(training.batches(99, 99, seed=seed, epoch=0)[0] for seed in (3, 4)))


def test_learning_rate_rises_and_falls() -> None:
    chosen = Hyperparameters(learning_rate=0.5, warmup=0.2)
    rates = [training.learning_rate(step, 100, chosen) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert rates.index(max(rates)) == 20
    assert max(rates) == pytest.approx(0.5)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[-1] < 0.001
    constant = replace(chosen, schedule="constant")
    assert {training.learning_rate(step, 100, constant) for step in range(100)} == {0.5}
    no_warmup = replace(chosen, warmup=0.0)
    assert training.learning_rate(0, 100, no_warmup) == 0.5


def test_normalisation_is_that_of_the_deployed_network() -> None:
    image_input = zoo.get("lenet5").input
    images = np.arange(28 * 28, dtype=np.int64).astype(np.uint8).reshape(1, 1, 28, 28)
    bordered = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    mine = training.normalized(torch.from_numpy(bordered).float(), image_input.mean, image_input.std)
    np.testing.assert_allclose(mine.numpy(), image_input.tensor(images), rtol=1e-5, atol=1e-6)


def test_outputs_are_not_overwritten(tmp_path: Path, data: str) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="--force"):
        run(tmp_path, data)
    assert (tmp_path / "tiny.safetensors").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, UsageError, "epochs is 0"),
        ({"batch_size": -1}, UsageError, "batch size -1"),
        ({"learning_rate": float("nan")}, UsageError, "learning rate nan"),
        ({"optimizer": "adam"}, UnknownNameError, "did you mean 'adamw'"),
        ({"augmentation": "digit"}, UnknownNameError, "did you mean 'digits'"),
        ({"schedule": "linear"}, UnknownNameError, "unknown schedule"),
        ({"momentum": 1}, UsageError, "unknown hyperparameters: momentum"),
        ({"threads": 0}, UsageError, "threads is 0"),
        ({"device": "cuda:99"}, MissingDependencyError, "cuda:99"),
        ({"device": "gpu"}, UsageError, "device is 'gpu'"),
        ({"data": "mnist:test"}, UsageError, "training pictures only"),
        ({"data": ""}, UsageError, "no data set"),
    ],
)
def test_bad_options_end_in_one_line(
    tmp_path: Path, data: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        run(tmp_path, **{"data": data, **options})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_data_of_other_classes_is_refused(tmp_path: Path, data: str) -> None:
    network = replace(tiny.network(), labels=("one", "two"))
    with pytest.raises(UsageError, match=r"has 3 classes, the network has 2 labels"):
        training.train(network, out=tmp_path / "x.safetensors", data=data, **FAST)


def test_a_place_that_cannot_be_written_shows_at_once(tmp_path: Path, data: str) -> None:
    with pytest.raises(DataFileError, match="folder does not exist"):
        training.train(tiny.network(), out=tmp_path / "no" / "x.safetensors", data=data, **FAST)
    with pytest.raises(UsageError, match="safetensors"):
        training.train(tiny.network(), out=tmp_path / "x.pth", data=data, **FAST)


def test_the_command_line_says_errors_in_one_line(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "models.train", "lenet")
    assert done.returncode == 1
    assert done.stderr == "error: unknown network 'lenet'; did you mean 'lenet5'?\n"
    assert done.stdout == ""


def test_every_network_of_the_zoo_has_its_recipe() -> None:
    assert tuple(hyperparameters.DEFAULTS) == ("lenet5", "lenet5-relu", "lenet5-fashion", *zoo.names()[3:])
