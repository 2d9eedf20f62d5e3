"""WebAssembly: one module without imports, and the JavaScript that loads it in browsers and Node.js."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.compile.build import find, run
from toolchain.compile.generate import render
from toolchain.compile.targets import Target
from toolchain.compile.translate import Generated
from toolchain.errors import MissingError

LIBC = "libc.a"
STACK = 64 * 1024
"""Bytes of the module's stack. It lies below everything else, so that an overflow traps."""

_MAGIC = b"\0asm\1\0\0\0"
_CUSTOM, _CODE, _DATA = 0, 10, 11
_SEGMENT_INFO = 5
_PASSIVE = 1
_EXPLICIT_MEMORY = 2
_END = 0x0B


def linking(name: str) -> tuple[str, ...]:
    """Flags of the last step: one function and the memory exported, nothing imported."""
    return (
        *("-nostartfiles", "-nodefaultlibs", "-Wl,--no-entry", "-Wl,--stack-first", f"-Wl,-z,stack-size={STACK}"),
        *("-Wl,--strip-all", f"-Wl,--export={name}_run", "-Wl,--export=__heap_base", "-lc"),
    )


def check_tools(target: Target) -> None:
    """Look for what clang needs beside itself.

    Raises:
        MissingError: there is no clang, no linker or no C library; names the package that brings it.
    """
    compiler = target.compiler.path()
    find("wasm-ld", "lld")
    found = run([compiler, *target.flags, f"-print-file-name={LIBC}"], Path.cwd()).strip()
    if not Path(found).is_absolute():
        raise MissingError(
            f"{compiler} finds no {LIBC} for WebAssembly; install it (Debian, Ubuntu: apt-get install wasi-libc)"
        )


def files(made: Generated, target: Target) -> dict[str, bytes]:
    """What lies in the folder of a WebAssembly target, by name.

    Args:
        made: files for any target.
        target: its flags go into the Makefile.
    """
    program, name = made.program, made.program.name
    ports = (*program.inputs, *program.outputs)
    more = {
        "flags": target.flags,
        "optimization": target.optimization,
        "link": linking(name),
        "binary": f"{name}_weights.bin" in made.files,
        "scales": [None if port.quantization is None else float(port.quantization.scale) for port in ports],
    }
    texts = {
        "Makefile": "wasm.Makefile.j2",
        f"{name}.mjs": "wasm.mjs.j2",
        f"{name}.d.mts": "wasm.d.mts.j2",
    }
    kept = {file: content for file, content in made.files.items() if file != f"{name}.py"}
    written = {file: render(template, program, made.plan, more).encode() for file, template in texts.items()}
    return dict(sorted({**kept, **written}.items()))


def link(name: str, objects: Sequence[Path], folder: Path, target: Target) -> None:
    """Write ``NAME.wasm``.

    Args:
        name: of the network.
        objects: compiled for the target.
        folder: to write it into.
        target: its compiler.
    """
    run([target.compiler.path(), *target.flags, *linking(name), "-o", folder / f"{name}.wasm", *objects], folder)


@dataclass
class _Reader:
    """A position in an object file."""

    content: bytes
    position: int = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.position += count
        if self.position > len(self.content):
            raise ValueError("it ends early")
        return self.content[self.position - count : self.position]

    def number(self) -> int:
        """An unsigned LEB128."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def sections(self) -> Iterator[tuple[int, _Reader]]:
        """Identifier and content of each."""
        while self.position < len(self.content):
            kind = self.take(1)[0]
            yield kind, _Reader(self.take(self.number()))


def sections(path: Path) -> Mapping[str, int]:
    """Bytes of an object file by what they are: ``code``, ``constants``, ``data``.

    The names of data segments tell constants from variables: WebAssembly tool conventions, "Linking", section
    WASM_SEGMENT_INFO.

    Raises:
        MissingError: it is no object file of WebAssembly.
    """
    found = {"code": 0, "constants": 0, "data": 0}
    sizes: list[int] = []
    names: list[str] = []
    reader = _Reader(path.read_bytes())
    try:
        if reader.take(len(_MAGIC)) != _MAGIC:
            raise ValueError("it has another signature")
        for kind, section in reader.sections():
            if kind == _CODE:
                found["code"] += len(section.content)
            elif kind == _DATA:
                sizes = list(_segment_sizes(section))
            elif kind == _CUSTOM and section.take(section.number()) == b"linking":
                names = list(_segment_names(section))
        if len(sizes) != len(names):
            raise ValueError("its data segments have no names")
    except ValueError as error:
        raise MissingError(
            f"{path.name} is no WebAssembly object file ({error}); check the installation of clang"
        ) from error
    for name, size in zip(names, sizes, strict=True):
        found["constants" if name.startswith((".rodata", ".data.rel.ro")) else "data"] += size
    return found


def _segment_sizes(section: _Reader) -> Iterator[int]:
    for _ in range(section.number()):
        flags = section.number()
        if flags & _EXPLICIT_MEMORY:
            section.number()
        if not flags & _PASSIVE:
            while section.take(1)[0] != _END:
                pass
        size = section.number()
        section.take(size)
        yield size


def _segment_names(section: _Reader) -> Iterator[str]:
    section.number()  # version
    for kind, part in section.sections():
        if kind == _SEGMENT_INFO:
            for _ in range(part.number()):
                yield part.take(part.number()).decode("utf-8", "replace")
                part.number()  # alignment
                part.number()  # flags
