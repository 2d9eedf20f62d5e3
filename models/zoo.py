"""The networks by name, and anybody's own as ``package.module:callable``.

Looking up a name needs no PyTorch; building a network does.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import DataFileError, MissingDependencyError, UnknownNameError, UnsafeFileError, UsageError
from models.inputs import ImageInput

if TYPE_CHECKING:
    import torch

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
IMAGENET_LABELS = Path(__file__).parent / "data" / "imagenet-labels.txt"
DIGITS = tuple("0123456789")

MNIST_28 = ImageInput("image", "gray", (28, 28), (28, 28), None, (0.1307,), (0.3081,))
MNIST_32 = ImageInput("image", "gray", (32, 32), (28, 28), None, (0.1307,), (0.3081,))
FASHION_32 = ImageInput("image", "gray", (32, 32), (28, 28), None, (0.2860,), (0.3530,))
IMAGENET_224 = ImageInput("image", "rgb", (224, 224), (224, 224), 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
IMAGENET_227 = replace(IMAGENET_224, size=(227, 227), content=(227, 227))


@dataclass(frozen=True)
class Network:
    """What is known of a network without building it.

    Attributes:
        name: in the zoo, or ``package.module:callable``.
        build: makes the module with fresh weights; imports PyTorch.
        input: how a picture becomes its input.
        labels: names of the classes, in the order of the outputs.
        data: name of the data set that it is trained on; empty if unknown.
        weights: file of trained weights; ``None`` where none ships.
        origin: the words by which :func:`get` found it; empty for one that it did not make.
    """

    name: str
    build: Callable[[], torch.nn.Module]
    input: ImageInput
    labels: tuple[str, ...]
    data: str
    weights: Path | None
    origin: str = ""


@dataclass(frozen=True)
class _Entry:
    """A network of the zoo, its file not imported yet."""

    module: str
    factory: str
    input: ImageInput
    data: str


_ENTRIES = {
    "lenet5": _Entry("models.lenet5", "as_published", MNIST_32, "mnist"),
    "lenet5-relu": _Entry("models.lenet5", "modern", MNIST_32, "mnist"),
    "lenet5-fashion": _Entry("models.lenet5", "as_published", FASHION_32, "fashion-mnist"),
    "example-cnn": _Entry("models.example_cnn", "ExampleCNN", MNIST_28, "mnist"),
    "alexnet": _Entry("models.alexnet", "AlexNet", IMAGENET_227, "imagenet"),
    "alexnet-torchvision": _Entry("models.alexnet", "AlexNetTorchvision", IMAGENET_224, "imagenet"),
    "vgg16": _Entry("models.vgg16", "VGG16", IMAGENET_224, "imagenet"),
}


def names() -> tuple[str, ...]:
    """The networks of the zoo."""
    return tuple(_ENTRIES)


def get(
    name: str,
    *,
    input: ImageInput | None = None,  # noqa: A002 - the word of the contract
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Look up a network.

    Args:
        name: one of :func:`names`, or ``package.module:callable``; the callable is a function or class that
            takes no arguments and returns a ``Network`` or a ``torch.nn.Module``. The current directory is
            searched for the package too.
        input: the network's input, where the callable returns a plain module.
        labels: names of its classes; left out, the outputs are numbered.

    Returns:
        The network; its file is imported when it is built (a user's own: here).

    Raises:
        UnknownNameError: no such network.
        UsageError: the callable does not exist, fails or returns something else, or ``input`` is missing.
    """
    if ":" in name:
        return replace(_own(name, input, labels), origin=name)
    if name not in _ENTRIES:
        raise UnknownNameError("network", name, _ENTRIES)
    entry = _ENTRIES[name]
    weights = WEIGHTS_FOLDER / f"{name}.safetensors"
    return Network(
        name=name,
        build=functools.partial(_build, entry.module, entry.factory),
        input=input or entry.input,
        labels=labels or _labels(entry.data),
        data=entry.data,
        weights=weights if weights.is_file() else None,
    )


def module(network: Network, weights: Path | None = None, trust_pickle: bool = False) -> torch.nn.Module:
    """Build a network with trained weights.

    Args:
        network: from :func:`get`.
        weights: a ``.safetensors`` file, or a ``.pth`` / ``.pt`` file of a state dict; ``None`` takes the
            network's own.
        trust_pickle: allow ``.pth`` and ``.pt`` (read by ``torch.load(weights_only=True)``).

    Returns:
        The module in evaluation mode, on the CPU.

    Raises:
        UnsafeFileError: a pickle without ``trust_pickle``.
        DataFileError: no weights, a missing or corrupt file, or weights of another network.
    """
    path = weights or network.weights
    if path is None:
        raise DataFileError(
            f"no weights for {network.name}; give a .safetensors file (--weights), or train it first "
            f"(onnx-edge train {network.name})"
        )
    state = _read_state(Path(path), trust_pickle)
    built = network.build()
    _check_state(network.name, Path(path), state, built.state_dict())
    built.load_state_dict(state)
    return built.eval()


def seeded(network: Network, seed: int) -> torch.nn.Module:
    """Build a network with fresh weights that depend on ``seed`` only.

    Returns:
        The module in evaluation mode, on the CPU. The caller's random state is left alone.
    """
    torch = import_torch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.build().eval()


def import_torch() -> Any:
    """PyTorch, or a line that says how to get it.

    Raises:
        MissingDependencyError: not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch is not installed; install the extra 'train': pip install 'onnx-edge[train]'"
        ) from error


def _build(module_name: str, factory: str) -> torch.nn.Module:
    import_torch()
    built: torch.nn.Module = getattr(importlib.import_module(module_name), factory)()
    return built


def _labels(data: str) -> tuple[str, ...]:
    if data == "imagenet":
        return tuple(IMAGENET_LABELS.read_text(encoding="utf-8").splitlines())
    if data == "fashion-mnist":
        from models.datasets import FASHION_CLASSES

        return FASHION_CLASSES
    return DIGITS


def _own(name: str, image_input: ImageInput | None, labels: tuple[str, ...] | None) -> Network:
    """A user's network: import it, call it once, and see what it is."""
    torch = import_torch()
    factory = _factory(name)
    try:
        made = factory()
    except Exception as error:
        raise UsageError(f"{name}: calling it without arguments failed: {error}") from error
    if isinstance(made, Network):
        return replace(made, input=image_input or made.input, labels=labels or made.labels)
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}, expected a Network or a torch.nn.Module")
    if image_input is None:
        raise UsageError(
            f"{name} returns a plain module, which does not say what pictures it takes; give its input size "
            "and normalisation (--shape 3,32,32 --mean ... --std ... of `export`), or return a models.zoo.Network"
        )
    if labels is None:
        labels = tuple(map(str, range(_outputs(made, image_input))))
    return Network(name, factory, image_input, labels, "", None)


def _factory(name: str) -> Callable[[], Any]:
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"cannot import {module_name!r} of network {name!r}: {error}; expected package.module:callable, "
            "importable from the current directory"
        ) from error
    except AttributeError as error:
        raise UsageError(f"network {name!r}: {error}; expected package.module:callable") from error
    finally:
        if added:
            sys.path.remove(here)
    if not callable(found) or (inspect.ismodule(found)):
        raise UsageError(f"network {name!r} is no callable; expected a function or a class")
    return found  # type: ignore[no-any-return]


def _outputs(built: torch.nn.Module, image_input: ImageInput) -> int:
    """Number of scores, found by one black picture."""
    torch = import_torch()
    try:
        with torch.no_grad():
            scores = built.eval()(torch.zeros(1, *image_input.shape))
    except RuntimeError as error:
        raise UsageError(
            f"the network does not take its input {list(image_input.shape)}: {str(error).splitlines()[0]}"
        ) from error
    return int(scores.shape[-1])


def _read_state(path: Path, trust_pickle: bool) -> dict[str, torch.Tensor]:
    torch = import_torch()
    import safetensors.torch
    from safetensors import SafetensorError

    if not path.is_file():
        raise DataFileError(f"weights {path} do not exist; give a .safetensors file")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise DataFileError(f"{path} is no readable .safetensors file: {error}; fetch it again") from error
    if not trust_pickle:
        raise UnsafeFileError(
            f"refused {path}: only .safetensors is read, since any other weights file is a pickle and may "
            "run code; convert it, or give --trust-pickle if you trust its origin"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataFileError(f"{path} is no state dict that torch.load can read: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataFileError(f"{path} holds no state dict; save model.state_dict()")
    return state


def _broken(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and not bool(tensor.isfinite().all())


def _check_state(name: str, path: Path, state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    problems = [
        f"{key} is missing" if key not in state else f"{key} is not of this network"
        for key in sorted(state.keys() ^ expected.keys())
    ]
    problems += [
        f"{key} has shape {list(state[key].shape)}, expected {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    problems += [f"{key} holds values that are not finite" for key, tensor in state.items() if _broken(tensor)]
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise DataFileError(f"{path} holds no weights of {name}: {problems[0]}{more}; give the right file")
