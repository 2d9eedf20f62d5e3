from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import datasets
from models.errors import DataFileError
from tests.conftest import RunCli
from tests.toolchain import digits
from toolchain.errors import UnknownNameError, UsageError
from toolchain.predict import predict


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten test digits, one a class: PNG light on dark, and the same dark on light, larger, as RGB."""
    folder = tmp_path_factory.mktemp("pictures")
    data = datasets.load("mnist:test:10")
    paths = []
    for image, label in zip(data.images[:, 0], data.labels, strict=True):
        paths.append(folder / f"{label}.png")
        Image.fromarray(image).save(paths[-1])
    for path in list(paths):
        picture = Image.open(path).resize((140, 140), Image.Resampling.BICUBIC)
        paths.append(folder / f"{path.stem}-paper.jpg")
        Image.eval(picture, lambda v: 255 - v).convert("RGB").save(paths[-1], quality=95)
    return paths


def test_digits_are_read_on_either_ground(pictures: list[Path]) -> None:
    found = predict(digits.model(), pictures).predictions
    right = [p.answers[0].label == Path(p.image).stem[0] for p in found]
    assert sum(right) >= 17
    assert [p.inverted for p in found] == [False] * 10 + [True] * 10


def test_probabilities_are_sorted_and_sum_to_one(pictures: list[Path]) -> None:
    (found,) = predict(digits.model(), pictures[:1], top=99).predictions
    shares = [answer.probability for answer in found.answers]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)
    (with_softmax,) = predict(digits.model(softmax=True), pictures[:1], top=99).predictions
    assert [a.probability for a in with_softmax.answers] == pytest.approx(shares, abs=1e-5)


def test_invert_on_request(pictures: list[Path]) -> None:
    by_option = {
        mode: predict(digits.model(), pictures[:1], invert=mode).predictions[0] for mode in ("auto", "yes", "no")
    }
    assert by_option["auto"] == by_option["no"]
    assert by_option["yes"].inverted
    assert by_option["yes"].answers != by_option["no"].answers


def test_fixed_batch_and_missing_labels(pictures: list[Path]) -> None:
    free, fixed = (predict(digits.model(batch=b, labels=None), pictures) for b in (None, 7))
    for one, other in zip(free.predictions, fixed.predictions, strict=True):
        assert one.answers[0].label == other.answers[0].label
        assert one.answers[0].probability == pytest.approx(other.answers[0].probability, abs=1e-5)


def test_refusals(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image input"):
        predict(digits.model(metadata=False), pictures[:1])
    with pytest.raises(UnknownNameError, match="did you mean 'auto'"):
        predict(digits.model(), pictures[:1], invert="atuo")
    with pytest.raises(UsageError, match="at least one"):
        predict(digits.model(), [])
    with pytest.raises(DataFileError, match="does not exist"):
        predict(digits.model(), [tmp_path / "none.png"])


def test_command_line(run_cli: RunCli, tmp_path: Path, pictures: list[Path]) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    done = run_cli("predict", path, *pictures[:2], "--top", "2", "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["version"], facts["verb"]) == (0, 1, "predict")
    assert [len(p["answers"]) for p in facts["predictions"]] == [2, 2]
    shown = run_cli("predict", path, pictures[10])
    assert shown.exit_code == 0
    assert "(inverted)" in shown.stdout


@pytest.mark.parametrize(("content", "message"), [(b"no picture", "no picture"), (b"\x89PNG\r\n\x1a\n\0\0", "picture")])
def test_a_file_that_is_no_picture(run_cli: RunCli, tmp_path: Path, content: bytes, message: str) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(content)
    done = run_cli("predict", digits.write(tmp_path / "digits.onnx"), bad)
    assert done.exit_code == 5
    assert message in done.stderr
    assert str(bad) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_ground_is_judged_by_the_border() -> None:
    from toolchain.predict import _border_is_light

    assert _border_is_light(np.full((3, 4, 4), 255, np.uint8))
    assert not _border_is_light(np.zeros((1, 4, 4), np.uint8))
    frame = np.zeros((1, 6, 6), np.uint8)
    frame[:, 1:-1, 1:-1] = 255
    assert not _border_is_light(frame)
