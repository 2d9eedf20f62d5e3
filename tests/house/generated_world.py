"""What is there: networks, their measured accuracy from the cards beside the weights, operators, providers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from models import zoo
from models.datasets import READERS
from tests.house.sources import ROOT
from toolchain.ops import registry
from toolchain.session import PROVIDERS
from toolchain.verify.verify import BACKENDS


@dataclass(frozen=True)
class Card:
    """What a card beside a weights file says."""

    path: Path
    facts: dict[str, str]
    command: str

    @property
    def network(self) -> str:
        return self.path.stem

    @property
    def link(self) -> str:
        return f"[`{self.network}`](../{self.path.relative_to(ROOT)})"


def cards() -> list[Card]:
    """In the order of the zoo."""
    found = []
    for name in zoo.names():
        path = zoo.WEIGHTS_FOLDER / f"{name}.md"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            facts = dict(re.findall(r"^\| ([A-Z][^|]*?) \| (.+) \|$", text, re.MULTILINE))
            command = re.search(r"^```\w*\n(.+?)\n```$", text, re.MULTILINE | re.DOTALL)
            found.append(Card(path, facts, command[1] if command else ""))
    return found


def networks() -> str:
    """The networks of the zoo: input, parameters, measured accuracy. For a document in the root."""
    measured = {card.network: card for card in cards()}
    rows = []
    for name in zoo.names():
        network, card = zoo.get(name), measured.get(name)
        shape = "x".join(map(str, network.input.shape))
        accuracy = (
            f"{_share(card)} on {card.facts['Data'].split(':')[0]} ([card](models/weights/{name}.md))"
            if card
            else "no weights ship"
        )
        rows.append(f"| `{name}` | {shape} | {_parameters(name):,} | {accuracy} |")
    return "\n".join(("| network | input | parameters | test accuracy |", "|---|---|---|---|", *rows))


def accuracy() -> str:
    """Measured accuracy with the command that measures it again. For a document in docs/."""
    rows = [
        f"| {card.link} | {_share(card)} | `onnx-edge evaluate models/weights/{card.network}.safetensors "
        f"--net {card.network} --data {zoo.get(card.network).data}:test` |"
        for card in cards()
    ]
    return "\n".join(("| network | top-1 on the 10,000 test pictures | command |", "|---|---|---|", *rows))


def retraining() -> str:
    """The command that trains each network again, from its card."""
    rows = [f"| {card.link} | {card.facts.get('Time', '')} | `{card.command}` |" for card in cards()]
    return "\n".join(("| network | took | command |", "|---|---|---|", *rows))


def support() -> str:
    """How much there is of everything else. For a document in the root."""
    rows = (
        (
            "operators",
            f"{len(registry())} of ai.onnx in the reference, in the versions that the [table](docs/operators.md) lists",
        ),
        (
            "backends that `verify` judges",
            f"{', '.join(f'`{name}`' for name in BACKENDS)}; the tests judge all but those of CUDA",
        ),
        (
            "execution providers",
            f"{', '.join(f'`{name}`' for name in PROVIDERS)}: those that the installed ONNX Runtime brings; "
            "the tests run `cpu`",
        ),
        ("data sets", f"{', '.join(f'`{name}`' for name in READERS)}, a folder of images per class, `.npz`"),
    )
    return "\n".join(("| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)))


def _share(card: Card) -> str:
    found = re.search(r"\d+\.\d+%", card.facts["Test"])
    if found is None:
        raise ValueError(f"{card.path} states no test accuracy")
    return found[0]


def _parameters(name: str) -> int:
    """Counted on modules without memory."""
    torch = zoo.import_torch()
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in zoo.get(name).build().parameters())
