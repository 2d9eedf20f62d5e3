"""deploy/python: the digit recogniser, from bytes to an answer."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from digit_recogniser.decode import decode
from digit_recogniser.errors import NoDigitError, NotAPictureError, TooLargeError
from digit_recogniser.ink import find_ink, label_components
from digit_recogniser.model import DigitInput, Recogniser, softmax
from digit_recogniser.place import place, stroke_width
from onnx import helper
from PIL import Image

from models.inputs import ImageInput
from tests.deploy.digit_drawing import draw, encode, mnist_test
from tests.deploy.python_app import APP, BAD_BYTES, DIGITS, INPUT, linear_model, png_bomb, read

# The app stands alone.


def test_imports_only_what_requirements_name() -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "PIL", "onnxruntime", "digit_recogniser"}
    found = set()
    for file in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file.name}: relative import"
                found.add(str(node.module).split(".")[0])
    assert {"numpy", "PIL", "onnxruntime"} <= found <= allowed
    required = re.findall(r"^[a-z]+", (APP / "requirements.txt").read_text(), re.MULTILINE)
    assert sorted(required) == ["numpy", "onnxruntime", "pillow"]


def test_page_is_self_contained() -> None:
    page = (APP / "digit_recogniser" / "page.html").read_text()
    assert not re.search(r"https?:|//[a-z]|<link|\bsrc=|@import|url\(", page)


# Pictures that the test draws.

PICTURES: dict[str, Callable[[str], bytes]] = {
    "28 pixels": lambda d: encode(draw(d, 28)),
    "light on dark, 64 pixels": lambda d: encode(draw(d, 64, "white", "black")),
    "JPEG": lambda d: encode(draw(d, 240), "JPEG", quality=60),
    "BMP": lambda d: encode(draw(d, 90), "BMP"),
    "GIF, palette": lambda d: encode(draw(d, 90).convert("P"), "GIF"),
    "WebP": lambda d: encode(draw(d, 150), "WEBP"),
    "CMYK JPEG": lambda d: encode(draw(d, 150).convert("CMYK"), "JPEG"),
    "one bit": lambda d: encode(draw(d, 100).convert("1")),
    "sixteen bits": lambda d: encode(Image.fromarray(np.asarray(draw(d, 100, 255, 0, "L")).astype(np.uint16) * 17)),
    "thin pen": lambda d: encode(draw(d, 500, pen=0.006)),
    "thick pen": lambda d: encode(draw(d, 300, pen=0.13)),
    "wide format": lambda d: encode(draw(d, (900, 300))),
    "small, in a corner": lambda d: encode(draw(d, 1500, scale=0.1, at=(0.8, 0.8))),
    "3000 pixels": lambda d: encode(draw(d, 3000), "JPEG"),
    "red on green of like lightness": lambda d: encode(draw(d, 200, (200, 0, 0), (0, 100, 0))),
    "black on transparent": lambda d: encode(draw(d, 200, (0, 0, 0, 255), (0, 0, 0, 0), "RGBA")),
    "white on transparent": lambda d: encode(draw(d, 200, (255, 255, 255, 255), (0, 0, 0, 0), "RGBA")),
    "photograph": lambda d: encode(_photograph(d), "JPEG"),
    "specks": lambda d: encode(_specks(d)),
}


def _photograph(digit: str) -> Image.Image:
    pixels = np.asarray(draw(digit, 400, (60, 60, 90), (225, 220, 205))).astype(np.float64)
    y, x = np.mgrid[:400, :400]
    light = 0.6 + 0.4 * (x + y) / 800
    noise = np.random.default_rng(0).normal(0.0, 5.0, pixels.shape)
    return Image.fromarray((pixels * light[..., None] + noise).clip(0, 255).astype(np.uint8))


def _specks(digit: str) -> Image.Image:
    picture = draw(digit, 400, scale=0.6, at=(0.2, 0.2))
    for place_ in ((10, 12), (380, 30), (20, 370)):
        picture.paste("black", (*place_, place_[0] + 4, place_[1] + 4))
    return picture


@pytest.mark.parametrize("kind", PICTURES)
def test_reads_drawn_digits(recogniser: Recogniser, kind: str) -> None:
    right = [digit for digit in DIGITS if read(recogniser, PICTURES[kind](digit)) == digit]
    assert len(right) >= 9, f"{kind}: only {right}"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = draw("7", (120, 90))
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_TOP_BOTTOM],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.ROTATE_270, Image.Transpose.FLIP_TOP_BOTTOM],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for turn in turns.get(orientation, []):
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for file_format in ("PNG", "JPEG"):
        pixels = decode(encode(stored, file_format, exif=exif))
        difference = np.abs(pixels[..., :3].astype(int) - np.asarray(upright).astype(int))
        assert pixels.shape == (90, 120, 4)
        assert difference.mean() < 2.0


# MNIST: what the network was trained on must survive the way through a file.


def _mnist_files(images: np.ndarray, *, size: int, dark: bool, file_format: str) -> Iterator[bytes]:
    for image in images:
        picture = Image.fromarray(image)
        if size != 28:
            picture = picture.resize((size, size), Image.Resampling.BICUBIC)
        yield encode(Image.fromarray(255 - np.asarray(picture)) if dark else picture, file_format)


@pytest.mark.parametrize(
    ("size", "dark", "file_format"),
    [(28, False, "PNG"), (28, True, "PNG"), (200, True, "PNG"), (100, True, "JPEG")],
)
def test_mnist_accuracy(recogniser: Recogniser, size: int, dark: bool, file_format: str) -> None:
    images, labels = mnist_test(300)
    files = _mnist_files(images, size=size, dark=dark, file_format=file_format)
    answers = [read(recogniser, data) for data in files]
    assert np.mean([a == b for a, b in zip(answers, labels, strict=True)]) >= 0.975


def test_mnist_pictures_come_back_as_they_were() -> None:
    images, _ = mnist_test(100)
    for image in images:
        placed = place(find_ink(decode(encode(Image.fromarray(image)))))
        assert np.abs(placed.astype(int) - image).mean() < 4.0
        # Same place, to the pixel: any shift would do better than none otherwise.
        shifts = {
            (dy, dx): np.abs(np.roll(placed, (dy, dx), (0, 1)).astype(int) - image).mean()
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        }
        assert min(shifts, key=lambda s: shifts[s]) == (0, 0)


def test_int8_model_reads_too(model_path: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    described = Recogniser(model_path).input
    images, labels = mnist_test(264)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter([described.tensor(image) for image in images[200:]])

        def get_next(self) -> dict[str, np.ndarray] | None:
            tensor = next(self.left, None)
            return None if tensor is None else {described.name: tensor}

    target = tmp_path / "int8.onnx"
    quantize_static(model_path, target, Reader(), per_channel=True)
    quantized = onnx.load(target)
    assert any(node.op_type == "QuantizeLinear" for node in quantized.graph.node)
    helper.set_model_props(quantized, {p.key: p.value for p in onnx.load(model_path).metadata_props})
    onnx.save(quantized, target)
    recogniser = Recogniser(target)
    files = _mnist_files(images[:200], size=28, dark=True, file_format="PNG")
    answers = [read(recogniser, data) for data in files]
    assert np.mean([a == b for a, b in zip(answers, labels, strict=False)]) >= 0.97


# The stages.


@pytest.mark.parametrize("seed", range(20))
def test_components_agree_with_a_flood_fill(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((random.integers(1, 20), random.integers(1, 20))) < random.choice([0.0, 0.2, 0.45, 1.0])
    labels = label_components(mask)
    assert ((labels > 0) == mask).all()
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    count = 0
    while left:
        count += 1
        stack, component = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack.extend(near)
        assert len({int(labels[at]) for at in component}) == 1
    assert len(np.unique(labels[mask])) == count


@pytest.mark.parametrize("side", [8, 28, 56])
def test_placing_fits_the_box_and_centres_the_mass(side: int) -> None:
    for digit in DIGITS:
        frame = place(find_ink(decode(encode(draw(digit, 300)))), side)
        assert frame.shape == (side, side)
        assert frame.dtype == np.uint8
        assert frame.max() == 255
        extent = max(np.ptp(np.nonzero(frame)[axis]) + 1 for axis in (0, 1))
        assert abs(extent - side * 20 / 28) <= 1.0
        for axis in (0, 1):
            mass = frame.sum(axis=1 - axis, dtype=np.float64)
            assert abs(mass @ np.arange(side) / mass.sum() - side / 2) <= 0.5 + 1e-9


def test_placing_keeps_ink_inside_the_frame() -> None:
    ink = np.zeros((100, 100), dtype=np.float32)
    ink[:, :1] = ink[:1] = 1.0
    ink[80:, :60] = 1.0
    frame = place(ink)
    assert np.count_nonzero(frame) > 0
    assert frame.shape == (28, 28)


@pytest.mark.parametrize("width", [2, 5, 11])
def test_stroke_width_of_a_ring_is_its_width(width: int) -> None:
    y, x = np.mgrid[:201, :201] - 100.0
    ring = (np.abs(np.hypot(y, x) - 70) <= width / 2).astype(np.float32)
    assert stroke_width(ring) == pytest.approx(width, rel=0.15)


def test_input_is_normalised_as_the_models_say() -> None:
    frame = np.arange(784, dtype=np.int64).reshape(28, 28).astype(np.uint8)
    ours = DigitInput.from_json(INPUT.to_json())
    assert ours.table.tobytes() == INPUT.table()[0].tobytes()
    assert ours.tensor(frame).tobytes() == INPUT.tensor(frame[None, None]).tobytes()
    odd = ImageInput("x", "gray", (33, 29), (28, 28), None, (0.0,), (1.0,))
    theirs = odd.tensor(frame[None, None])
    assert np.array_equal(DigitInput.from_json(odd.to_json()).tensor(frame), theirs)


@pytest.mark.parametrize("scores", [[1e4, -1e4, 0.0], [-1e308, -1e308], [0.0], [700.0, 710.0]])
def test_softmax_never_overflows(scores: list[float]) -> None:
    with np.errstate(all="raise", under="ignore"):
        probabilities = softmax(np.array(scores))
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities.argmax() == int(np.argmax(scores))


def test_a_softmax_in_the_model_is_not_applied_twice(tmp_path: Path) -> None:
    plain = Recogniser(linear_model(tmp_path / "logits.onnx"))
    ended = Recogniser(linear_model(tmp_path / "softmax.onnx", end="Softmax"))
    frame = mnist_test(1)[0][0]
    assert plain.probabilities(frame) == pytest.approx(ended.probabilities(frame), abs=1e-5)
    assert plain.probabilities(frame).sum() == pytest.approx(1.0)


# Bad pictures.


BAD_PICTURES: dict[str, tuple[bytes, type[Exception]]] = {
    "empty": (b"", NotAPictureError),
    "text": (b"not a picture\n", NotAPictureError),
    "noise": (BAD_BYTES, NotAPictureError),
    "truncated PNG": (encode(draw("3"))[:300], NotAPictureError),
    "truncated JPEG": (encode(draw("3"), "JPEG")[:900], NotAPictureError),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NotAPictureError),
    "8000 x 8000": (png_bomb(8000), TooLargeError),
    "60000 x 60000": (png_bomb(60000), TooLargeError),
    "white": (encode(Image.new("RGB", (50, 50), "white")), NoDigitError),
    "black": (encode(Image.new("L", (28, 28), 0)), NoDigitError),
    "one pixel": (encode(Image.new("L", (1, 1), 9)), NoDigitError),
    "transparent": (encode(Image.new("RGBA", (50, 50), (9, 9, 9, 0))), NoDigitError),
    "faint": (encode(draw("3", 80, (240, 240, 240))), NoDigitError),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_pictures_are_refused_in_one_line(recogniser: Recogniser, kind: str) -> None:
    data, error = BAD_PICTURES[kind]
    with pytest.raises(error) as caught:
        recogniser.recognise(data)
    assert "\n" not in str(caught.value)


def test_broken_bytes_never_escape_as_another_error(recogniser: Recogniser) -> None:
    random = np.random.default_rng(7)
    for file_format in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"):
        good = encode(draw("5", 40).convert("P" if file_format == "GIF" else "RGB"), file_format)
        for _ in range(40):
            data = bytearray(good)
            for at in random.integers(0, min(len(data), 400), 4):
                data[at] = int(random.integers(0, 256))
            with contextlib.suppress(NotAPictureError, TooLargeError, NoDigitError):
                answer = recogniser.recognise(bytes(data))
                assert answer.candidates[0][0] in DIGITS
