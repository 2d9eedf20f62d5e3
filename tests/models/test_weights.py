"""The shipped weights are what their cards say."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="running networks needs the extra 'train'")

from models import datasets, zoo  # noqa: E402
from models.errors import DownloadError  # noqa: E402

TRAINED = ("lenet5", "lenet5-relu", "lenet5-fashion", "example-cnn")
BARS = {"lenet5": 0.992, "lenet5-relu": 0.993, "lenet5-fashion": 0.89, "example-cnn": 0.994}


def card(name: str) -> str:
    return (zoo.WEIGHTS_FOLDER / f"{name}.md").read_text(encoding="utf-8")


def test_every_weights_file_has_its_card_and_no_other_is_there() -> None:
    files = {path.name for path in zoo.WEIGHTS_FOLDER.iterdir()}
    assert files == {f"{name}.{suffix}" for name in TRAINED for suffix in ("safetensors", "md")}
    assert {name for name in zoo.names() if zoo.get(name).weights} == set(TRAINED)


@pytest.mark.parametrize("name", TRAINED)
def test_cards_describe_the_file(name: str) -> None:
    weights = zoo.get(name).weights
    assert weights is not None
    text = card(name)
    assert f"sha256 `{hashlib.sha256(weights.read_bytes()).hexdigest()}`" in text
    assert f"python -m models.train {name} --threads 1\n" in text


@pytest.mark.parametrize("name", TRAINED)
def test_accuracy_is_that_of_the_card_and_above_the_bar(name: str) -> None:
    network = zoo.get(name)
    try:
        data = datasets.load(f"{network.data}:test", input=network.input)
    except DownloadError:
        pytest.skip(f"{network.data} is neither installed nor downloadable")
    measured = accuracy(network, data)
    assert measured >= BARS[name]
    claimed = re.search(r"\| Test \| \*\*([\d.]+)%\*\* on 10,000 pictures", card(name))
    assert claimed is not None
    # Another processor may add in another order: at most two pictures on the edge change sides.
    assert measured == pytest.approx(float(claimed[1]) / 100, abs=2.5e-4)


def accuracy(network: zoo.Network, data: datasets.Dataset) -> float:
    module = zoo.module(network)
    right = 0
    with torch.inference_mode():
        for start in range(0, len(data.labels), 1000):
            part = slice(start, start + 1000)
            answers = module(torch.from_numpy(network.input.tensor(data.images[part]))).argmax(1)
            right += int(np.sum(answers.numpy() == data.labels[part]))
    return right / len(data.labels)


def test_cards_are_markdown_without_local_paths() -> None:
    for path in Path(zoo.WEIGHTS_FOLDER).glob("*.md"):
        assert path.read_text(encoding="utf-8").startswith(f"# {path.stem}\n")
