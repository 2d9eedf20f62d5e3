from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'train'")

from torch import nn  # noqa: E402

from models import batchnorm, zoo  # noqa: E402

PARAMETERS = {
    "lenet5": 61_706,
    "lenet5-relu": 61_706,
    "lenet5-fashion": 61_706,
    "example-cnn": 16_938,
    "alexnet": 60_965_224,
    "alexnet-torchvision": 61_100_840,
    "vgg16": 138_357_544,
}


def on_meta(name: str) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return zoo.get(name).build().eval()


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules() if not list(part.children())]


@pytest.mark.parametrize("name", zoo.names())
def test_parameters_and_output_shape(name: str) -> None:
    network, module = zoo.get(name), on_meta(name)
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMETERS[name]
    assert not list(module.buffers())
    scores = module(torch.empty(2, *network.input.shape, device="meta"))
    assert scores.shape == (2, len(network.labels))


def test_every_network_is_counted() -> None:
    assert tuple(PARAMETERS) == zoo.names()


def test_lenet5_has_the_maps_of_the_paper() -> None:
    module = on_meta("lenet5")
    shapes = {}
    for name, part in module.named_children():
        part.register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    module(torch.empty(1, 1, 32, 32, device="meta"))
    maps = {key: shapes[key] for key in ("c1", "s2", "c3", "s4", "c5", "f6", "output")}
    assert maps == {
        "c1": (6, 28, 28),
        "s2": (6, 14, 14),
        "c3": (16, 10, 10),
        "s4": (16, 5, 5),
        "c5": (120, 1, 1),
        "f6": (84,),
        "output": (10,),
    }
    assert kinds(module).count("Tanh") == 4
    assert kinds(module).count("AvgPool2d") == 2
    assert kinds(on_meta("lenet5-relu")).count("ReLU") == 4
    assert kinds(on_meta("lenet5-relu")).count("MaxPool2d") == 2


def test_alexnet_normalises_as_the_paper_says() -> None:
    module = on_meta("alexnet")
    layer = next(part for part in module.modules() if isinstance(part, nn.LocalResponseNorm))
    values = torch.linspace(-300, 300, 96, dtype=torch.float64).view(1, 96, 1, 1)
    squares = values.view(-1).square()
    for channel in (0, 1, 2, 50, 94, 95):
        around = squares[max(0, channel - 2) : channel + 3].sum()
        expected = values[0, channel, 0, 0] / (2 + 1e-4 * around) ** 0.75
        torch.testing.assert_close(layer(values)[0, channel, 0, 0], expected)
    assert kinds(module).count("LocalResponseNorm") == 2
    groups = [part.groups for part in module.modules() if isinstance(part, nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]


def test_alexnet_has_torchvisions_key_names() -> None:
    state = on_meta("alexnet-torchvision").state_dict()
    layers = ["features.0", "features.3", "features.6", "features.8", "features.10"]
    layers += ["classifier.1", "classifier.4", "classifier.6"]
    assert list(state) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    weights = [tuple(state[f"{layer}.weight"].shape) for layer in layers]
    assert weights == [
        (64, 3, 11, 11),
        (192, 64, 5, 5),
        (384, 192, 3, 3),
        (256, 384, 3, 3),
        (256, 256, 3, 3),
        (4096, 9216),
        (4096, 4096),
        (1000, 4096),
    ]


def test_vgg16_is_the_one_of_another_library() -> None:
    """kornia's VGG16 bears torchvision's key names: the same state dict, the same answer."""
    peers = pytest.importorskip("kornia.feature.dedode.vgg", reason="the peer is in the extra 'train'")
    with torch.device("meta"):
        peer = peers.vgg16(init_weights=False).eval()
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(value.shape, generator=generator) * (2 / max(value[0].numel(), 1)) ** 0.5
        for key, value in peer.state_dict().items()
    }
    mine = on_meta("vgg16")
    peer.load_state_dict(state, assign=True)
    mine.load_state_dict(state, assign=True)
    image = torch.randn(1, 3, 224, 224, generator=generator)
    with torch.inference_mode():
        answer, expected = mine(image), peer(image)
    assert expected.std() > 0.01
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "example-cnn"])
def test_batch_normalisation_folds_away(name: str) -> None:
    network = zoo.get(name)
    module = zoo.seeded(network, 3)
    dressed = batchnorm.insert(module)
    assert kinds(dressed).count("BatchNorm2d") == kinds(module).count("Conv2d") > 0
    images = torch.randn(64, *network.input.shape, generator=torch.Generator().manual_seed(1))
    dressed.train()
    for part in dressed.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.3)
            nn.init.normal_(part.bias, 0.0, 0.3)
    for _ in range(20):
        dressed(images * 2 + 1)
    folded = batchnorm.fold(dressed)
    assert list(folded.state_dict()) == list(module.state_dict())
    assert kinds(folded) == kinds(module)
    with torch.no_grad():
        expected = dressed.eval()(images)
        torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(module(images), expected, atol=1e-2)
