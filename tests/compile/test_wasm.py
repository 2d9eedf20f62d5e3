"""WebAssembly: the same bytes, and a module that Node.js and browsers load."""

from __future__ import annotations

import dataclasses
import functools
import http
import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.compile.conftest import Quantized
from tests.compile.graphs import draw, feeds
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.targets import TARGETS
from toolchain.compile.wasm import _CODE, _Reader, check_tools, sections
from toolchain.errors import MissingError
from toolchain.integers import IntegerReference
from toolchain.load import read
from toolchain.reference import Reference

NAMES = ("wasm", "wasm-mvp")
GOLDEN = Path(__file__).parent / "golden" / "lenet5.int8.onnx"


@pytest.fixture(autouse=True)
def tools() -> None:
    try:
        check_tools(TARGETS["wasm"])
    except MissingError as error:
        pytest.skip(str(error))
    if shutil.which("node") is None:
        pytest.skip("node is not installed (apt-get install nodejs)")


def _node(program: str, folder: Path) -> str:
    """What an ES module prints."""
    (folder / "program.mjs").write_text(program, encoding="utf-8")
    done = subprocess.run(["node", "program.mjs"], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_networks(net: str, name: str, quantized: Quantized, tmp_path: Path) -> None:
    made = compile_model(quantized(net), target=name, output=tmp_path / "c", run=True, data="mnist:test:10")
    assert made.verdict is not None
    assert made.ok, made.verdict
    assert made.memory.data == 0
    assert made.memory.code > 1_000
    assert made.memory.parameters > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_every_image(net: str, name: str, quantized: Quantized, tmp_path: Path) -> None:
    made = compile_model(quantized(net), target=name, output=tmp_path / "c", run=True, data="mnist:test")
    assert made.verdict is not None
    assert made.verdict.samples == 10_000
    assert made.verdict.differing == 0, made.verdict
    assert all(layer.compared for layer in made.verdict.layers)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_random_graphs(seed: int, name: str, tmp_path: Path) -> None:
    model = draw(seed)
    np.savez(tmp_path / "data.npz", image=np.concatenate([feed["image"] for feed in feeds(model, 6, seed)]))
    made = compile_model(model, target=name, output=tmp_path / "c", run=True, data=str(tmp_path / "data.npz"))
    assert made.ok, made.verdict


@pytest.mark.parametrize("name", NAMES)
def test_the_module_imports_nothing_and_simd_is_where_it_should_be(name: str, tmp_path: Path) -> None:
    compile_model(GOLDEN, target=name, output=tmp_path / "c", options=Options(name="net"))
    found = json.loads(_node(
        'import { readFileSync } from "node:fs";'
        'const module = new WebAssembly.Module(readFileSync("net.wasm"));'
        "const names = (list) => list.map((one) => one.name);"
        "console.log(JSON.stringify([names(WebAssembly.Module.imports(module)), "
        "names(WebAssembly.Module.exports(module)).sort()]));",
        tmp_path / "c",
    ))  # fmt: skip
    assert found == [[], ["__heap_base", "memory", "net_run"]]
    made = {path.name for path in (tmp_path / "c").iterdir()}
    assert {"net.wasm", "net.mjs", "net.d.mts", "net.c", "net.h", "memory.json", "Makefile"} <= made
    assert not any(file.endswith((".so", ".a", ".py")) for file in made)
    # i32x4.add and i32x4.mul are the bytes fd ae 01 and fd b5 01; the weights lie in another section.
    reader = _Reader((tmp_path / "c" / "net.wasm").read_bytes())
    reader.take(8)
    code = next(section.content for kind, section in reader.sections() if kind == _CODE)
    assert (b"\xfd\xae\x01" in code or b"\xfd\xb5\x01" in code) == (name == "wasm")


def _answer(folder: Path, module: str, image: np.ndarray) -> list[float]:
    """The output of the delivered module in Node.js."""
    image.tofile(folder / "image.bin")
    array = f"{image.dtype.name.capitalize()}Array"
    printed = _node(
        f'import {{ load, inputs, outputs }} from "./{module}.mjs"; import {{ readFileSync }} from "node:fs";'
        f'const image = new {array}(new Uint8Array(readFileSync("image.bin")).buffer);'
        "const network = await load();"
        "const first = network.run(image)[0]; const kept = Array.from(first);"
        "network.run(new image.constructor(image.length));"
        "if (Array.from(first).some((v, i) => v !== kept[i])) throw new Error('an earlier output was written over');"
        "if (first.length !== outputs[0].size || inputs[0].size !== image.length) throw new Error('sizes');"
        "console.log(JSON.stringify(Array.from(network.run(image)[0])));",
        folder,
    )
    return list(json.loads(printed))


@pytest.mark.parametrize("name", NAMES)
def test_the_loader_in_node(name: str, tmp_path: Path) -> None:
    model = draw(3)
    compile_model(model, target=name, output=tmp_path / "c", options=Options(name="net"))
    image = feeds(model, 1, 0)[0]["image"]
    want = IntegerReference(model).run({"image": image})[model.graph.outputs[0].name or ""].astype(np.float32)
    assert np.array_equal(np.float32(_answer(tmp_path / "c", "net", image)), want.reshape(-1))


def _integers(dtype: int = onnx.TensorProto.INT8) -> ir.Model:
    """int8 in, int8 out."""
    graph = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["y"], "pool", kernel_shape=[2, 2], strides=[2, 2])],
        "integers",
        [helper.make_tensor_value_info("x", dtype, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", dtype, [1, 2, 2, 2])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return read(proto.SerializeToString(), "integers")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_in_and_out(dtype: str, tmp_path: Path) -> None:
    model = _integers(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    compile_model(model, target="wasm", output=tmp_path / "c", options=Options(name="net"))
    x = np.array([-128, -1, 0, 1, 127, 5, -7, 2] * 4).astype(dtype).reshape(1, 2, 4, 4)
    want = x.reshape(2, 2, 2, 2, 2).max(axis=(2, 4)).reshape(-1)
    assert _answer(tmp_path / "c", "net", x) == want.tolist()
    text = (tmp_path / "c" / "net.d.mts").read_text(encoding="utf-8")
    assert f"x: {dtype.capitalize()}Array" in text


def test_a_float_network(tmp_path: Path) -> None:
    """tanhf and expf come from the C library, inside the module."""
    weights = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Tanh", ["x"], ["t"], "tanh"),
            helper.make_node("Gemm", ["t", "w"], ["g"], "dense", transB=1),
            helper.make_node("Softmax", ["g"], ["y"], "softmax"),
        ],
        "floats",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 12])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(weights, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = read(proto.SerializeToString(), "floats")
    compile_model(model, target="wasm", output=tmp_path / "c", options=Options(name="net"))
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(1, 12)
    want = Reference(model).run({"x": x})["y"]
    # 12 products and sums below 12 in size, each rounded to 2^-24: 1e-5 is far above, and far below any mistake.
    assert np.allclose(_answer(tmp_path / "c", "net", x), want.reshape(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("network.run()", "expected 1 inputs, received 0"),
        ("network.run([1, 2])", "expected Float32Array of 1024, received object of 2"),
        ("network.run(new Float64Array(1024))", "expected Float32Array of 1024, received Float64Array of 1024"),
        ("network.run(new Float32Array(3))", "expected Float32Array of 1024, received Float32Array of 3"),
        ("network.run(null)", "expected Float32Array of 1024, received object of undefined"),
    ],
)
def test_wrong_arguments_are_named(call: str, message: str, lenet: Path) -> None:
    program = (
        f'import {{ load }} from "{(lenet / "lenet5.mjs").as_uri()}"; const network = await load();'
        f"try {{ {call}; console.log('taken'); }} catch (error) {{ console.log(error.name, error.message); }}"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("TypeError"), done.stdout
    assert message in done.stdout


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wasm") / "c"
    compile_model(GOLDEN, target="wasm", output=folder, options=Options(name="lenet5"))
    return folder


def test_make_builds_the_same_module(lenet: Path, tmp_path: Path) -> None:
    shutil.copytree(lenet, tmp_path / "c")
    before = (tmp_path / "c" / "lenet5.wasm").read_bytes()
    (tmp_path / "c" / "lenet5.wasm").unlink()
    subprocess.run(["make", "-s"], cwd=tmp_path / "c", check=True, capture_output=True)
    assert (tmp_path / "c" / "lenet5.wasm").read_bytes() == before


@dataclasses.dataclass(frozen=True)
class _Served:
    """A folder behind a web server, and what a page sent back to it."""

    url: str
    folder: Path
    answers: queue.Queue[str]


@pytest.fixture
def served(lenet: Path, tmp_path: Path) -> Iterator[_Served]:
    """The compiled LeNet-5 behind a web server that keeps the body of every POST."""
    folder = tmp_path / "web"
    shutil.copytree(lenet, folder)
    answers: queue.Queue[str] = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(http.HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield _Served(f"http://127.0.0.1:{server.server_address[1]}", folder, answers)
        finally:
            server.shutdown()
            thread.join()


# The page itself says when it is done: how long a browser needs to start is nobody's promise.
PAGE = """<!doctype html><title>test</title><script type="module">
const tell = (answer) => fetch("answer", {method: "POST", body: JSON.stringify(answer)});
try {
  const { load } = await import("./lenet5.mjs");
  const network = await load();
  const image = new Float32Array(await (await fetch("image.bin")).arrayBuffer());
  await tell(Array.from(network.run(image)[0]));
} catch (error) {
  await tell(String(error));
}
</script>
"""


def test_the_loader_in_a_browser(served: _Served, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium (apt-get install chromium)")
    image = np.linspace(-1, 1, 1024, dtype=np.float32)
    image.tofile(served.folder / "image.bin")
    (served.folder / "index.html").write_text(PAGE, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", profile, served.url]
    log = tmp_path / "chromium.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as running:
        try:
            got = json.loads(served.answers.get(timeout=120))
        except queue.Empty:
            pytest.fail(f"no answer from {browser} within 120 s; it printed:\n{log.read_text(errors='replace')}")
        finally:
            running.terminate()
    assert got == pytest.approx(_answer(served.folder, "lenet5", image), abs=0)


def test_what_is_no_object_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF" + bytes(40), b"\0asm\1\0\0\0\x0b\x7f", b"\0asm\1\0\0\0\x0b\x02\x01\x01"):
        (tmp_path / "x.o").write_bytes(content)
        with pytest.raises(MissingError, match="no WebAssembly object file"):
            sections(tmp_path / "x.o")


def test_a_missing_linker_or_library_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clang = shutil.which("clang")
    assert clang is not None
    (tmp_path / "clang").write_text("#!/bin/sh\necho libc.a\n", encoding="utf-8")
    (tmp_path / "clang").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    with pytest.raises(MissingError, match="apt-get install lld"):
        compile_model(GOLDEN, target="wasm", output=tmp_path / "c")
    (tmp_path / "wasm-ld").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "wasm-ld").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MissingError, match="apt-get install wasi-libc"):
        compile_model(GOLDEN, target="wasm", output=tmp_path / "c")
    assert not (tmp_path / "c").exists()
