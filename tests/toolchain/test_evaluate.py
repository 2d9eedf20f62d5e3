from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Exported, RunCli
from tests.toolchain import digits
from toolchain.errors import ShapeError, UsageError
from toolchain.evaluate import evaluate, judge, probabilities, score_kind, wilson


def test_counts_agree_with_a_plain_loop() -> None:
    result = evaluate(digits.model(), data="mnist:test:500")
    assert result.correct == sum(entry.correct for entry in result.classes)
    assert result.total == 500 == sum(map(sum, result.confusion))
    assert 0.9 < result.top1 < 1.0
    low, high = result.interval
    assert low < result.top1 < high


@pytest.mark.parametrize("batch", [1, 7])
def test_fixed_batch_gives_the_same_answers(batch: int) -> None:
    free = evaluate(digits.model(), data="mnist:test:100", batch=64)
    fixed = evaluate(digits.model(batch=batch), data="mnist:test:100")
    np.testing.assert_array_equal(free.answers, fixed.answers)
    assert fixed.total == 100
    assert fixed.loss == pytest.approx(free.loss, rel=1e-5)


def test_softmax_at_the_end_changes_neither_answers_nor_loss() -> None:
    logits, shares = (evaluate(digits.model(softmax=s), data="mnist:test:200") for s in (False, True))
    assert score_kind(digits.model()) == "logits"
    assert score_kind(digits.model(softmax=True)) == "probabilities"
    assert shares.correct == logits.correct
    assert shares.loss == pytest.approx(logits.loss, rel=1e-4)
    assert shares.calibration_error == pytest.approx(logits.calibration_error, rel=1e-4)


def test_judge_by_hand() -> None:
    scores = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0], [0.0, 5.0]])
    result = judge(scores, np.array([0, 0, 0, 1]), model="m", data="d", backend="b", names=("cat", "dog"))
    assert (result.correct, result.total) == (3, 4)
    assert result.confusion == ((2, 1), (0, 1))
    assert result.classes[0].recall == pytest.approx(2 / 3)
    assert result.classes[1].precision == pytest.approx(1 / 2)
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(1)), math.log(2), math.log(1 + math.exp(-5))]
    assert result.loss == pytest.approx(np.mean(expected))


def test_calibration_error_of_a_coin() -> None:
    # Says 0.5 each time (to the last digit above), is right each time: off by one half.
    scores = np.array([[1e-9, 0.0]] * 8)
    result = judge(scores, np.zeros(8, np.int64), model="m", data="d", backend="b")
    assert result.calibration_error == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(9_920, 10_000, 0.99006, 0.99357), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (1, 2, 0.09453, 0.90547)],
)
def test_wilson_table(correct: int, total: int, low: float, high: float) -> None:
    assert wilson(correct, total) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 10_000), st.data())
@settings(deadline=None)
def test_wilson_encloses_the_share(total: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, total))
    low, high = wilson(correct, total)
    assert 0.0 <= low <= correct / total <= high <= 1.0


@pytest.mark.parametrize("kind", ["logits", "log-probabilities"])
def test_probabilities_sum_to_one(kind: str) -> None:
    scores = np.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    if kind == "log-probabilities":
        scores = np.log(np.array([[0.2, 0.3, 0.5], [1.0, 1e-30, 1e-30]]))
    np.testing.assert_allclose(probabilities(scores, kind).sum(axis=1), 1.0)


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, image=np.zeros((2, 1, 28, 28), np.float32))
    with pytest.raises(UsageError, match="no labels"):
        evaluate(digits.model(), data=str(path))
    with pytest.raises(ShapeError, match="10 outputs and 2 labels"):
        evaluate(digits.model(labels=("0", "1")), data=str(_two(tmp_path)))
    with pytest.raises(ShapeError, match="label 12"):
        judge(np.zeros((1, 10)), np.array([12]), model="m", data="d", backend="b")
    with pytest.raises(UsageError, match="--net"):
        evaluate(tmp_path / "w.safetensors", data="mnist:test:2")


def _two(folder: Path) -> Path:
    path = folder / "two.npz"
    np.savez(path, image=np.zeros((2, 1, 28, 28), np.float32), labels=np.array([0, 1]))
    return path


def test_weights_in_pytorch_agree_with_the_exported_model(exported: Exported) -> None:
    from models import zoo

    weights = zoo.get("lenet5").weights
    assert weights is not None
    torch_side = evaluate(weights, net="lenet5", data="mnist:test:500")
    onnx_side = evaluate(exported("lenet5"), data="mnist:test:500")
    np.testing.assert_array_equal(torch_side.answers, onnx_side.answers)
    assert torch_side.backend.startswith("torch")


def test_command_line(run_cli: RunCli, tmp_path: Path) -> None:
    import json

    path = digits.write(tmp_path / "digits.onnx")
    done = run_cli("evaluate", path, "--data", "mnist:test:200", "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["version"], facts["verb"], facts["total"]) == (0, 1, "evaluate", 200)
    shown = run_cli("evaluate", path, "--data", "mnist:test:200", "--confusion")
    assert "top-1" in shown.stdout
    assert shown.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "mnits:test"), 2, "did you mean 'mnist'"),
        (("--data", "mnist:tset"), 2, "did you mean 'test'"),
        (("--data", "mnist:test:4", "--provider", "cdua"), 2, "did you mean 'cuda'"),
        (("--data", "mnist:test:4", "--net", "lenet5"), 2, "an ONNX file needs none"),
        (("--data", "nowhere/data.npz"), 5, "does not exist"),
        ((), 2, "--data"),
    ],
)
def test_bad_input(run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = run_cli("evaluate", digits.write(tmp_path / "digits.onnx"), *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
