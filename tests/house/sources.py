"""The repository's Python files, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORLDS = ("models", "toolchain", "deploy", "benchmarks", "tests")


@dataclass(frozen=True)
class Source:
    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def module(self) -> str:
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imports(self, *, top_level_only: bool = False) -> Iterator[str]:
        nodes = _at_import(self.tree.body) if top_level_only else ast.walk(self.tree)
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements of a module that are no function's: also those for type checkers alone."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _at_import([*node.body, *node.orelse])


@cache
def sources(*worlds: str) -> tuple[Source, ...]:
    found = []
    for world in worlds or WORLDS:
        for path in sorted((ROOT / world).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text)))
    return tuple(found)
