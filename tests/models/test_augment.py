from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="augmentation needs the extra 'train'")
pytest.importorskip("kornia", reason="augmentation needs the extra 'train'")

from models import augment  # noqa: E402
from models.augment import DIGITS, RECIPES, Augmentation  # noqa: E402
from models.errors import UnknownNameError, UsageError  # noqa: E402

SIZE = 21


def noise(count: int = 40, channels: int = 3, size: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def blob(row: float, column: float, *, spread: float = 1.5, size: int = SIZE) -> torch.Tensor:
    """One bright spot, float32 [1, 1, size, size]."""
    rows = torch.arange(size)[:, None] - row
    columns = torch.arange(size)[None, :] - column
    return (255 * torch.exp(-(rows**2 + columns**2) / (2 * spread**2)))[None, None]


def center(image: torch.Tensor) -> tuple[float, float]:
    """Row and column of the centre of mass of one picture."""
    mass = image[0].sum(0)
    grid = torch.arange(image.shape[-1], dtype=torch.float32)
    return float((mass.sum(1) * grid).sum() / mass.sum()), float((mass.sum(0) * grid).sum() / mass.sum())


def matrix(
    angle: float = 0.0,
    shear: float = 0.0,
    scale: tuple[float, float] = (1, 1),
    shift: tuple[float, float] = (0, 0),
) -> torch.Tensor:
    return augment.affine(
        (SIZE, SIZE),
        angle=torch.tensor([float(angle)]),
        shear=torch.tensor([float(shear)]),
        scale=torch.tensor([scale], dtype=torch.float32),
        shift=torch.tensor([shift], dtype=torch.float32),
    )


def test_no_augmentation_changes_nothing() -> None:
    images = noise()
    changed = augment.augment(images, augment.NONE, seed=1)
    assert changed.dtype == torch.float32
    assert torch.equal(changed, images.float())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_seed_repeats_and_another_differs(recipe: Augmentation) -> None:
    images = noise(channels=3)
    first = augment.augment(images, recipe, seed=1)
    torch.rand(3)
    assert torch.equal(first, augment.augment(images, recipe, seed=1))
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 255.01
    if recipe != augment.NONE:
        assert not torch.equal(first, augment.augment(images, recipe, seed=2))
        assert not torch.equal(first, images.float())


def test_pictures_of_a_batch_are_changed_differently() -> None:
    same = noise(1).repeat(8, 1, 1, 1)
    changed = augment.augment(same, DIGITS, seed=3)
    assert len({picture.numpy().tobytes() for picture in changed}) == 8


def test_mirroring_swaps_left_and_right() -> None:
    images = noise(3)
    mirrored = augment.mirror(images, torch.tensor([True, False, True]))
    np.testing.assert_array_equal(mirrored[0], images[0].numpy()[:, :, ::-1])
    np.testing.assert_array_equal(mirrored[1], images[1])
    drawn = augment.augment(noise(400), Augmentation(mirror=0.25), seed=5)
    original = noise(400).float()
    changed = [not torch.equal(a, b) for a, b in zip(drawn, original, strict=True)]
    assert 60 < sum(changed) < 140
    for was, picture, original_picture in zip(changed, drawn, original, strict=True):
        assert torch.equal(picture, original_picture.flip(-1) if was else original_picture)


def test_random_cropping_cuts_a_window() -> None:
    images, border = noise(3), 4
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (border, border), (border, border)))
    corner = torch.tensor([[border, border], [0, 8], [7, 1]])
    cropped = augment.crop(images, corner, border).numpy()
    np.testing.assert_array_equal(cropped[0], images[0])
    for picture, (top, left) in enumerate(corner.tolist()):
        expected = padded[picture, :, top : top + SIZE, left : left + SIZE]
        np.testing.assert_array_equal(cropped[picture], expected)
    draw = augment.draw(Augmentation(crop=2), 500, (3, SIZE, SIZE), torch.Generator().manual_seed(0))
    assert draw.corner is not None
    assert {tuple(corner) for corner in draw.corner.tolist()} == {(a, b) for a in range(5) for b in range(5)}


def test_colour_shifting_adds_to_each_channel_and_saturates() -> None:
    images = noise(2).float()
    shifted = augment.shift_colors(images, torch.tensor([-20.0, 20.0, -20.0]))
    for channel, addend in enumerate((-20, 20, -20)):
        expected = (images[:, channel] + addend).clamp(0, 255)
        assert torch.equal(shifted[:, channel], expected)
    assert shifted.min() == 0
    assert shifted.max() == 255
    limits = (5.0, 40.0, 0.0)
    gray = torch.full((500, 3, 2, 2), 128, dtype=torch.uint8)
    drawn = augment.augment(gray, Augmentation(color_shift=limits), seed=1) - 128
    for channel, limit in enumerate(limits):
        addends = drawn[:, channel]
        assert torch.equal(addends.amin((1, 2)), addends.amax((1, 2)))
        assert addends.abs().max() <= limit
        if limit:
            assert addends.min() < -0.9 * limit
            assert addends.max() > 0.9 * limit
    with pytest.raises(UsageError, match="2 addends, expected 3"):
        augment.augment(gray, Augmentation(color_shift=(1.0, 2.0)), seed=1)


def test_rotation_by_a_quarter_is_exact() -> None:
    images = noise(1).float()
    for quarters in (1, 2, 3):
        rotated = augment.warp(images, matrix(angle=90 * quarters))
        torch.testing.assert_close(rotated, torch.rot90(images, -quarters, (2, 3)), rtol=0, atol=0.05)


def test_rotation_turns_about_the_centre_and_clockwise() -> None:
    row, column = center(augment.warp(blob(10, 16), matrix(angle=30)))
    assert column == pytest.approx(10 + 6 * np.cos(np.pi / 6), abs=0.05)
    assert row == pytest.approx(10 + 6 * np.sin(np.pi / 6), abs=0.05)
    assert center(augment.warp(blob(10, 10), matrix(angle=77))) == pytest.approx((10, 10), abs=0.01)


def test_shearing_moves_rows_by_their_distance() -> None:
    for row in (4, 10, 16):
        moved = center(augment.warp(blob(row, 10), matrix(shear=20)))
        assert moved == pytest.approx((row, 10 + (row - 10) * np.tan(np.radians(20))), abs=0.05)


def test_scaling_moves_away_from_the_centre() -> None:
    moved = center(augment.warp(blob(7, 12), matrix(scale=(1.5, 0.5))))
    assert moved == pytest.approx((10 - 3 * 0.5, 10 + 2 * 1.5), abs=0.05)


def test_translation_shifts_and_brings_in_black() -> None:
    images = noise(1).float()
    shifted = augment.warp(images, matrix(shift=(3, -2)))
    torch.testing.assert_close(shifted[:, :, :-2, 3:], images[:, :, 2:, :-3], rtol=0, atol=0.05)
    assert shifted[:, :, -2:].abs().max() < 0.05
    assert shifted[:, :, :, :3].abs().max() < 0.05
    half = augment.warp(images, matrix(shift=(0.5, 0)))
    expected = (images[:, :, :, 1:] + images[:, :, :, :-1]) / 2
    torch.testing.assert_close(half[:, :, :, 1:], expected, rtol=0, atol=0.05)


def test_the_order_is_shear_rotate_scale_shift() -> None:
    whole = matrix(angle=25, shear=15, scale=(1.2, 0.8), shift=(2, -1))
    image = blob(8, 12, spread=2)
    step = augment.warp(image, matrix(shear=15))
    step = augment.warp(step, matrix(angle=25))
    step = augment.warp(step, matrix(scale=(1.2, 0.8)))
    step = augment.warp(step, matrix(shift=(2, -1)))
    once = augment.warp(image, whole)
    assert center(once) == pytest.approx(center(step), abs=0.02)
    assert (once - step).abs().max() < 40


@pytest.mark.parametrize(
    ("recipe", "angle", "shear", "scale", "shift"),
    [
        (Augmentation(rotate=12), 12, 0, 0, 0),
        (Augmentation(shear=20), 0, 20, 0, 0),
        (Augmentation(scale=0.3), 0, 0, 0.3, 0),
        (Augmentation(translate=3), 0, 0, 0, 3),
    ],
)
def test_amounts_reach_to_both_sides_and_no_further(
    recipe: Augmentation, angle: float, shear: float, scale: float, shift: float
) -> None:
    draw = augment.draw(recipe, 2000, (1, SIZE, SIZE), torch.Generator().manual_seed(2))
    assert draw.matrix is not None
    linear = draw.matrix[:, :, :2].double()
    moved = (linear @ torch.full((2, 1), 10.0, dtype=torch.float64))[:, :, 0] + draw.matrix[:, :, 2] - 10
    angles = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    amounts = {
        "angle": (angles, angle),
        "shear": ((linear[:, 0, 1] + (linear[:, 1, 0] if angle else 0)).atan().rad2deg(), shear),
        "width": (linear[:, 0, :].norm(dim=1) - 1 if not shear else torch.zeros(2), scale),
        "right": (moved[:, 0], shift),
        "down": (moved[:, 1], shift),
    }
    for name, (values, limit) in amounts.items():
        assert values.abs().max() <= limit + 1e-4, name
        if limit:
            assert values.min() < -0.95 * limit, name
            assert values.max() > 0.95 * limit, name


def test_digits_are_not_mirrored() -> None:
    assert DIGITS.mirror == 0
    draw = augment.draw(DIGITS, 1000, (1, 28, 28), torch.Generator().manual_seed(0))
    assert draw.mirror is None
    assert draw.matrix is not None
    assert torch.linalg.det(draw.matrix[:, :, :2]).min() > 0


def test_a_share_of_a_draw_does_what_the_whole_does() -> None:
    images = noise(10)
    everything = Augmentation(0.5, 3, (9.0, 9.0, 9.0), 10, 10, 0.1, 2)
    draw = augment.draw(everything, 10, (3, SIZE, SIZE), torch.Generator().manual_seed(4))
    whole = augment.apply(images, draw)
    for part in (slice(0, None, 2), slice(1, None, 2), slice(3, 7)):
        torch.testing.assert_close(augment.apply(images[part], draw.share(part)), whole[part])


@pytest.mark.parametrize(
    "options",
    [{"mirror": 1.5}, {"crop": -1}, {"rotate": -3}, {"scale": 1.0}, {"shear": 90}, {"color_shift": (-20.0,)}],
)
def test_amounts_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Augmentation(**options)  # type: ignore[arg-type]


def test_recipes_go_by_name() -> None:
    assert augment.recipe("digits") is DIGITS
    with pytest.raises(UnknownNameError, match=re.escape("did you mean 'photos'?")):
        augment.recipe("photo")


def test_the_picture_of_the_documentation(tmp_path: Path) -> None:
    from PIL import Image

    from models import augmentation_picture, datasets

    if not datasets.DEBIAN_FASHION_FOLDER.is_dir():
        pytest.skip("the picture shows Fashion-MNIST, which is not installed (package dataset-fashion-mnist)")
    augmentation_picture.main([str(tmp_path / "picture.png")])
    committed = Path(__file__).parents[2] / "docs" / "augmentation.png"
    assert committed.stat().st_size < 150_000
    with Image.open(tmp_path / "picture.png") as made, Image.open(committed) as shown:
        assert made.size == shown.size
        page = committed.with_suffix(".md").read_text(encoding="utf-8")
    assert "(augmentation.png)" in page
    for name in RECIPES:
        assert f"`{name}`" in page
