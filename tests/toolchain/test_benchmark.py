from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.conftest import RunCli
from tests.toolchain import digits
from toolchain import data
from toolchain.benchmark import Benchmark, benchmark
from toolchain.benchmark.answer import check_answer, expect
from toolchain.benchmark.memory import peak_memory
from toolchain.benchmark.placement import check_placement, count, placement, read_profile
from toolchain.benchmark.runner import Configuration, Runner, session_options
from toolchain.benchmark.stats import MIN_SAMPLES, interval_ranks, median, percentiles
from toolchain.benchmark.timing import interleave, ratios, warm_up
from toolchain.errors import FallbackError, GateFailedError, MissingError, UsageError
from toolchain.quantize import Scheme
from toolchain.quantize.static import convert
from toolchain.session import Session, SessionOptions, available

CUDA = pytest.mark.skipif("cuda" not in available(), reason="this onnxruntime has no CUDA provider")


def exactly(count: int, share: float, k: int) -> float:
    return math.comb(count, k) * share**k * (1 - share) ** (count - k)


@pytest.mark.parametrize("percent", list(MIN_SAMPLES))
def test_enough_samples_means_two_beyond_the_percentile(percent: float) -> None:
    n, p = MIN_SAMPLES[percent], percent / 100
    fewer_than_two = p**n + n * p ** (n - 1) * (1 - p)
    assert fewer_than_two <= 0.01
    assert p ** (n - 3) + (n - 3) * p ** (n - 4) * (1 - p) > 0.01


@pytest.mark.parametrize(("n", "shown"), [(10, 0), (11, 1), (64, 1), (65, 2), (661, 2), (662, 3), (6636, 4)])
def test_no_percentile_without_its_samples(n: int, shown: int) -> None:
    assert len(percentiles(np.arange(n, dtype=float))) == shown


@pytest.mark.parametrize("n", [11, 12, 30, 65, 101])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_ranks_enclose_the_quantile(n: int, share: float) -> None:
    low, high = interval_ranks(n, share)
    below = sum(exactly(n, share, k) for k in range(low + 1))
    at_least = sum(exactly(n, share, k) for k in range(high + 1, n + 1))
    assert below <= 0.025 or low == 0
    assert at_least <= 0.025 or high == n - 1
    # No narrower one would do.
    assert below + exactly(n, share, low + 1) > 0.025
    assert at_least + exactly(n, share, high) > 0.025


def test_intervals_cover_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    drawn = generator.lognormal(size=(2000, 101))
    covered = [m.low <= 1.0 <= m.high for m in map(median, drawn)]
    assert 0.94 <= np.mean(covered) <= 0.99


def test_rounds_pair_every_candidate_once() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = interleave(calls, samples=50, seconds=60)
    assert {len(t) for t in times.values()} == {50}
    rounds = [order[i : i + 3] for i in range(0, 150, 3)]
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len({tuple(r) for r in rounds}) == 6
    assert ratios({"a": np.array([2.0]), "b": np.array([1.0])}, "a", ["b"])["b"][0] == 2.0


def test_time_limits_hold() -> None:
    import time

    start = time.perf_counter()
    times = interleave({"sleepy": lambda: time.sleep(0.01)}, samples=10_000, seconds=0.1)
    warm = warm_up(lambda: time.sleep(0.03), seconds=0.1)
    assert time.perf_counter() - start < 2.0
    assert 1 <= len(times["sleepy"]) < 100
    assert not warm.stable
    assert warm.calls >= 2


def feeds_of(model: ir.Model, count: int) -> dict[str, np.ndarray]:
    return data.samples(model, "mnist:test:16").feeds(0, count)


def test_a_wrong_model_is_not_timed() -> None:
    model, broken = digits.model(), digits.model()
    bias = broken.graph.initializers["bias"]
    assert bias.const_value is not None
    changed = bias.const_value.numpy().copy()
    changed[3] += 0.01
    bias.const_value = ir.tensor(changed, name="bias")
    feeds = feeds_of(model, 2)
    expected = expect(model, feeds)
    right = check_answer("right", expected, Session(model).run(feeds), tf32=False)
    assert right.judge == "reference interpreter"
    assert 0.0 <= right.departure <= right.allowed
    with pytest.raises(GateFailedError, match=r"wrong: output 'scores' departs by 0\.01"):
        check_answer("wrong", expected, Session(broken).run(feeds), tf32=False)
    with pytest.raises(GateFailedError, match="departs by nan"):
        check_answer("nan", expected, {"scores": np.full((2, 10), np.nan)}, tf32=False)
    with pytest.raises(GateFailedError, match=r"shape \[1, 10\]"):
        check_answer("shape", expected, {"scores": np.zeros((1, 10))}, tf32=False)


def test_an_int8_model_may_move_by_steps_only() -> None:
    model = digits.model()
    int8 = convert(model, data.samples(model, "mnist:train:64"), Scheme())
    feeds = feeds_of(int8, 4)
    expected = expect(int8, feeds)
    outputs = Session(int8).run(feeds)
    check_answer("int8", expected, outputs, tf32=False)
    with pytest.raises(GateFailedError):
        check_answer("moved", expected, {"scores": outputs["scores"] + 1.0}, tf32=False)


def test_every_node_has_a_provider() -> None:
    model = digits.model()
    places = placement(model, SessionOptions(), feeds_of(model, 1))
    assert {place.provider for place in places} == {"cpu"}
    assert any("Conv" in place.op_type for place in places)
    assert count(places) == {"cpu": len(places)}
    check_placement(places, "cpu", allow_fallback=False)
    with pytest.raises(FallbackError, match="ran none"):
        check_placement(places, "cuda", allow_fallback=True)


def test_a_node_elsewhere_is_named() -> None:
    events = [
        {
            "cat": "Node",
            "name": f"{name}_kernel_time",
            "args": {"op_name": op, "provider": provider},
        }
        for name, op, provider in (
            ("conv1", "Conv", "CUDAExecutionProvider"),
            ("lrn", "LRN", "CPUExecutionProvider"),
            ("conv1", "Conv", "CUDAExecutionProvider"),
        )
    ]
    places = read_profile(json.dumps([{"cat": "Session", "name": "model_run"}, *events]))
    assert count(places) == {"cpu": 1, "cuda": 1}
    with pytest.raises(FallbackError, match=r"did not run 1 of 2 nodes; the first is 'lrn' \(LRN\), run by cpu"):
        check_placement(places, "cuda", allow_fallback=False)
    check_placement(places, "cuda", allow_fallback=True)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    folder = tmp_path_factory.mktemp("models")
    free = digits.write(folder / "free.onnx")
    other = digits.write(folder / "softmax.onnx", softmax=True)
    return benchmark([free, other], threads=(1, 2), batches=(1, 4), data="mnist:test:16", samples=70, seconds=3)


def test_all_combinations_are_measured(result: Benchmark) -> None:
    assert len(result.measurements) == 2 * 2 * 2
    assert len({m.configuration for m in result.measurements}) == 8
    for m in result.measurements:
        assert [p.percent for p in m.latency] == [50.0, 90.0]
        assert all(p.low <= p.value <= p.high for p in m.latency)
        assert all(a.value <= b.value for a, b in pairwise(m.latency))
        assert m.throughput is not None
        assert m.throughput.value == pytest.approx(m.configuration.batch / m.latency[0].value, rel=0.1)
        assert m.samples == len(m.seconds) == 70
        assert sum(m.nodes.values()) == len(m.places)
        assert m.io == "NumPy arrays"
    assert [m.ratio is None for m in result.measurements] == [True, True] + [False] * 6


def test_memory_is_measured_in_a_process_of_its_own(result: Benchmark) -> None:
    for m in result.measurements:
        assert m.memory is not None
        assert 0 < m.memory.added < 200e6
        assert m.memory.baseline > 10e6


def test_memory_grows_with_the_weights(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    added = []
    for width in (8, 4096):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "wide",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width])],
            [numpy_helper.from_array(np.ones((width, width), np.float32), "w")],
        )
        path = tmp_path / f"{width}.onnx"
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        path.write_bytes(made.SerializeToString())
        np.savez(tmp_path / "feeds.npz", x=np.ones((1, width), np.float32))
        used = peak_memory(path, SessionOptions(), tmp_path / "feeds.npz")
        assert used is not None
        added.append(used.added)
    assert added[1] - added[0] > 4096 * 4096 * 4 * 0.9


def test_facts_are_json(result: Benchmark) -> None:
    facts = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert facts["environment"]["cores"] >= 1
    assert facts["measurements"][0]["memory"]["added"] > 0
    assert facts["spinning"] is False


def test_fixed_batch(tmp_path: Path) -> None:
    path = digits.write(tmp_path / "four.onnx", batch=4)
    found = benchmark([path], data="mnist:test:2", samples=12, seconds=2, with_memory=False)
    (only,) = found.measurements
    assert only.configuration.batch == 4
    assert only.memory is None
    with pytest.raises(UsageError, match="batch 2 was asked for, the model takes 4 only"):
        benchmark([path], data="mnist:test:2", batches=(2,))


def test_refusals(tmp_path: Path) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    with pytest.raises(UsageError, match="same file name"):
        benchmark([path, path], data="mnist:test:2")
    with pytest.raises(UsageError, match="positive"):
        benchmark([path], data="mnist:test:2", threads=(0,))


def test_missing_provider_is_an_error_not_a_fallback(tmp_path: Path) -> None:
    absent = next(name for name in ("cuda", "tensorrt", "qnn", "coreml") if name not in available())
    path = digits.write(tmp_path / "digits.onnx")
    with pytest.raises(MissingError, match=f"provider '{absent}' is not in this installation"):
        benchmark([path], providers=(absent,), data="mnist:test:2", allow_fallback=True)


@CUDA
def test_cuda_keeps_inputs_and_outputs_on_the_device() -> None:
    model = digits.model()
    feeds = feeds_of(model, 4)
    options = session_options(Configuration("m", "cuda", 1, 4), allow_fallback=False, spinning=False, tf32=False)
    runner = Runner(model, options, feeds)
    assert runner.io == "device memory (IO binding)"
    check_answer("cuda", expect(model, feeds), runner.answer(), tf32=False)


def test_tf32_is_off_unless_asked_for() -> None:
    configuration = Configuration("m", "cuda", 1, 1)
    off, on = (session_options(configuration, allow_fallback=False, spinning=False, tf32=t) for t in (False, True))
    assert off.provider_options == (("use_tf32", "0"),)
    assert on.provider_options == (("use_tf32", "1"),)


def test_command_line(run_cli: RunCli, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    common = ("--data", "mnist:test:8", "--samples", "20", "--seconds", "1", "--no-memory")
    done = run_cli("benchmark", path, *common, "--batch", "1,2", "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["verb"], len(facts["measurements"])) == (0, "benchmark", 2)
    shown = run_cli("benchmark", path, *common, "--nodes")
    assert shown.exit_code == 0
    assert "p50 us" in shown.stdout
    assert "p90 us" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--provider", "cup"), 2, "did you mean 'cpu'"),
        (("--provider", "qnn"), 3, "not in this installation"),
        (("--batch", "1,x"), 2, "1,x"),
        (("--threads", "0"), 2, "positive"),
    ],
)
def test_bad_input(run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    done = run_cli("benchmark", path, "--data", "mnist:test:4", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_npz_of_another_shape(run_cli: RunCli, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, image=np.zeros((2, 1, 30, 28), np.float32))
    done = run_cli("benchmark", path, "--data", wrong)
    assert done.exit_code == 2
    assert "[2, 1, 30, 28], expected [N, 1, 28, 28]" in done.stderr
    none = run_cli("benchmark", path)
    assert none.exit_code == 2
    assert "--synthetic" in none.stderr
