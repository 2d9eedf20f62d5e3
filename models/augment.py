"""Augmentation of batches of pictures: mirroring, cropping, colour shifting, rotation, shearing and more.

What happens to each picture is *drawn* first (:func:`draw`), from a seed, on the CPU, and *applied* then
(:func:`apply`). So training is repeatable, the same on every device, and several processes share one draw.
Rotation, shearing, scaling and translation make one matrix a picture and one interpolation a batch.

``python -m models.augmentation_picture FILE.png`` draws every augmentation for the documentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.geometry.transform import warp_affine

from models.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Augmentation:
    """How far pictures may be changed. Every amount is drawn uniformly and anew for each picture.

    Attributes:
        mirror: probability of swapping left and right.
        crop: random cropping: the picture gets a black border of this many pixels, and a window of the old
            size is cut out at a random place.
        color_shift: per channel, the largest addend to the values 0..255 (both signs).
        rotate: largest angle, degrees (both directions).
        shear: largest angle by which vertical lines lean, degrees (both directions).
        scale: largest relative change of width and of height, each drawn for itself.
        translate: largest shift, pixels (all directions, fractions of a pixel too).
    """

    mirror: float = 0.0
    crop: int = 0
    color_shift: tuple[float, ...] = ()
    rotate: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    translate: float = 0.0

    def __post_init__(self) -> None:
        amounts = (self.crop, *self.color_shift, self.rotate, self.translate)
        if not 0 <= self.mirror <= 1 or not 0 <= self.scale < 1 or not 0 <= self.shear < 90:
            raise UsageError(f"mirror, scale or shear out of range in {self}; expected 0..1, 0..1, 0..90 degrees")
        if min(amounts) < 0:
            raise UsageError(f"negative amount in {self}; amounts reach to both sides and are given positive")

    @property
    def is_affine(self) -> bool:
        """Whether pictures are interpolated."""
        return any((self.rotate, self.shear, self.scale, self.translate))


NONE = Augmentation()
# No mirroring: a mirrored digit is another sign (2, 3, 4, 7) or none at all, and 6 leans to 9 under large
# rotations, so angles stay small. Colours carry nothing in gray pictures.
DIGITS = Augmentation(rotate=12.0, shear=14.0, scale=0.12, translate=2.5)
# Clothes are symmetric and photographed upright: mirrored, and hardly moved.
FASHION = Augmentation(mirror=0.5, rotate=4.0, scale=0.06, translate=1.0)
PHOTOS = Augmentation(mirror=0.5, crop=4, color_shift=(20.0, 20.0, 20.0), rotate=8.0, shear=5.0)
RECIPES = {"none": NONE, "digits": DIGITS, "fashion": FASHION, "photos": PHOTOS}


def recipe(name: str) -> Augmentation:
    """An augmentation by name.

    Raises:
        UnknownNameError: not one of ``RECIPES``.
    """
    if name not in RECIPES:
        raise UnknownNameError("augmentation", name, RECIPES)
    return RECIPES[name]


@dataclass(frozen=True)
class Draw:
    """What happens to each of N pictures; ``None`` where nothing does.

    Attributes:
        mirror: bool [N].
        corner: int64 [N, 2], top and left of the window in the picture with its border.
        border: width of that border, pixels.
        color: float32 [N, C], addends to values 0..255.
        matrix: float32 [N, 2, 3], from old to new pixel coordinates (x, y).
    """

    mirror: torch.Tensor | None
    corner: torch.Tensor | None
    border: int
    color: torch.Tensor | None
    matrix: torch.Tensor | None

    def share(self, part: slice, device: torch.device | str = "cpu") -> Draw:
        """The draw of some of the pictures, on a device."""

        def taken(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else tensor[part].to(device)

        return Draw(taken(self.mirror), taken(self.corner), self.border, taken(self.color), taken(self.matrix))


def draw(augmentation: Augmentation, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Draw:
    """Draw what happens to ``count`` pictures of ``shape`` (C, H, W).

    Raises:
        UsageError: colour shifts for another number of channels.
    """
    channels, height, width = shape
    if augmentation.color_shift and len(augmentation.color_shift) != channels:
        raise UsageError(f"color_shift has {len(augmentation.color_shift)} addends, expected {channels}")

    def uniform(largest: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * largest

    mirrored = corner = color = matrix = None
    if augmentation.mirror:
        mirrored = torch.rand(count, generator=generator) < augmentation.mirror
    if augmentation.crop:
        corner = torch.randint(2 * augmentation.crop + 1, (count, 2), generator=generator)
    if augmentation.color_shift:
        color = torch.stack([uniform(largest) for largest in augmentation.color_shift], dim=1)
    if augmentation.is_affine:
        matrix = affine(
            (height, width),
            angle=uniform(augmentation.rotate),
            shear=uniform(augmentation.shear),
            scale=1 + torch.stack([uniform(augmentation.scale), uniform(augmentation.scale)], dim=1),
            shift=torch.stack([uniform(augmentation.translate), uniform(augmentation.translate)], dim=1),
        )
    return Draw(mirrored, corner, augmentation.crop, color, matrix)


def apply(images: torch.Tensor, drawn: Draw) -> torch.Tensor:
    """Do to each picture what was drawn for it.

    Args:
        images: uint8 or float32 [N, C, H, W], values 0..255.
        drawn: for N pictures, on the device of ``images``.

    Returns:
        float32 [N, C, H, W], values 0..255; what comes in from outside a picture is black.
    """
    images = images.float()
    if drawn.mirror is not None:
        images = mirror(images, drawn.mirror)
    if drawn.corner is not None:
        images = crop(images, drawn.corner, drawn.border)
    if drawn.matrix is not None:
        images = warp(images, drawn.matrix)
    if drawn.color is not None:
        images = shift_colors(images, drawn.color)
    return images


def augment(images: torch.Tensor, augmentation: Augmentation, seed: int) -> torch.Tensor:
    """Augment a batch; the same seed gives the same pictures.

    Args:
        images: uint8 or float32 [N, C, H, W], values 0..255.
        augmentation: how far.
        seed: of the draw.

    Returns:
        float32 [N, C, H, W], values 0..255.
    """
    count, *shape = images.shape
    generator = torch.Generator().manual_seed(seed)
    drawn = draw(augmentation, count, (shape[0], shape[1], shape[2]), generator)
    return apply(images, drawn.share(slice(None), images.device))


def mirror(images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Swap left and right of the chosen pictures: [N, C, H, W], bool [N] -> [N, C, H, W]."""
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def crop(images: torch.Tensor, corner: torch.Tensor, border: int) -> torch.Tensor:
    """Cut a window of the old size out of each picture with a black border.

    Args:
        images: [N, C, H, W].
        corner: int64 [N, 2], top and left, 0..2 * border; ``border`` for both gives the picture back.
        border: pixels.

    Returns:
        [N, C, H, W].
    """
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (border, border, border, border))
    rows = corner[:, 0, None] + torch.arange(height, device=images.device)
    columns = corner[:, 1, None] + torch.arange(width, device=images.device)
    picture = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def shift_colors(images: torch.Tensor, addends: torch.Tensor) -> torch.Tensor:
    """Add to each channel, and stay within 0..255: float [N, C, H, W], [N, C] or [C] -> [N, C, H, W].

    ``shift_colors(images, torch.tensor([-20.0, 20.0, -20.0]))`` turns a colour picture greener.
    """
    return (images + addends.view(-1, images.shape[1], 1, 1)).clamp(0, 255)


def affine(
    size: tuple[int, int],
    *,
    angle: torch.Tensor,
    shear: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """One matrix a picture: shear, then rotate, then scale, all about the centre, then shift.

    Args:
        size: height and width, pixels.
        angle: degrees [N]; positive turns clockwise, as y points down.
        shear: degrees [N]; positive moves what lies below the centre to the right.
        scale: [N, 2], of width and height; above 1 enlarges.
        shift: [N, 2], pixels right and down.

    Returns:
        float32 [N, 2, 3], from old to new pixel coordinates (x, y).
    """
    radians = angle * (math.pi / 180)
    cosine, sine = radians.cos(), radians.sin()
    lean = (shear * (math.pi / 180)).tan()
    linear = torch.stack(
        [
            torch.stack([cosine, cosine * lean - sine], dim=1),
            torch.stack([sine, sine * lean + cosine], dim=1),
        ],
        dim=1,
    )
    linear = linear * scale[:, :, None]
    center = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    offset = center + shift - (linear @ center)
    return torch.cat([linear, offset[:, :, None]], dim=2)


def warp(images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Move pixels by one matrix a picture, bilinear, black outside.

    Args:
        images: float [N, C, H, W].
        matrix: float [N, 2, 3], from old to new pixel coordinates (x, y).

    Returns:
        [N, C, H, W].
    """
    warped: torch.Tensor = warp_affine(images, matrix, (images.shape[2], images.shape[3]))
    return warped
