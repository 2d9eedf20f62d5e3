"""Small functions, small modules, one place for each heavy library: the rules of CONTRIBUTING.md, mechanically."""

from __future__ import annotations

import ast

import pytest

from tests.house.sources import Source, sources

MODULE_LINES = 400
FUNCTION_LINES = 60


@pytest.mark.parametrize("source", sources(), ids=lambda s: s.name)
def test_module_and_functions_are_small(source: Source) -> None:
    assert source.text.count("\n") <= MODULE_LINES
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= FUNCTION_LINES, f"{source.name}:{node.lineno} {node.name}"


def _imports(source: Source, package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in source.imports())


@pytest.mark.parametrize("source", sources("models"), ids=lambda s: s.name)
def test_models_know_nothing_of_the_toolchain(source: Source) -> None:
    assert not _imports(source, "toolchain")
    assert not _imports(source, "onnx")
    assert not _imports(source, "onnxruntime")


@pytest.mark.parametrize("source", sources("deploy"), ids=lambda s: s.name)
def test_deployed_apps_use_nothing_of_the_repository(source: Source) -> None:
    for package in ("toolchain", "models", "torch", "onnx"):
        assert not _imports(source, package)


def test_one_module_imports_each_heavy_library() -> None:
    homes = {
        "torch": {"toolchain/export.py", "toolchain/module.py"},
        "matplotlib": {"toolchain/report/"},
        "jinja2": {"toolchain/report/", "toolchain/compile/"},
        "onnxruntime": {"toolchain/session.py", "toolchain/quantize/"},
    }
    for library, allowed in homes.items():
        users = {source.name for source in sources("toolchain") if _imports(source, library)}
        strangers = {name for name in users if not any(name.startswith(home) for home in allowed)}
        assert not strangers, f"{library} is imported by {sorted(strangers)}; its home is {sorted(allowed)}"


@pytest.mark.parametrize(
    "source",
    [
        s
        for s in sources("toolchain")
        if s.name.startswith(("toolchain/ops/", "toolchain/integers/")) or s.name.endswith("reference.py")
    ],
    ids=lambda s: s.name,
)
def test_the_reference_shares_no_code_with_what_it_judges(source: Source) -> None:
    for package in (
        "onnxruntime",
        "torch",
        "onnx.reference",
        "onnx.backend",
        "toolchain.session",
        "toolchain.verify",
    ):
        assert not _imports(source, package)


def test_no_import_cycles() -> None:
    modules = {source.module for source in sources("toolchain", "models")}
    edges = {
        source.module: {
            name
            for name in source.imports(top_level_only=True)
            if name in modules and name != source.module and not source.module.startswith(f"{name}.")
        }
        for source in sources("toolchain", "models")
        if source.path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done:
            return
        for target in sorted(edges.get(module, ())):
            visit(target, (*path, module))
        done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_command_line_is_the_top() -> None:
    for source in sources("toolchain"):
        if not source.name.startswith("toolchain/cli/"):
            assert not _imports(source, "toolchain.cli"), source.name
            assert not _imports(source, "click"), source.name
