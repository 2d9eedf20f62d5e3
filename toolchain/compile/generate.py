"""C text from a program: constants, the plan and the calls. Everything else is real C files in ``runtime/``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from toolchain.compile.identifiers import identifier
from toolchain.compile.literals import fields, number, wrapped
from toolchain.compile.names import unique
from toolchain.compile.plan import Plan, scratch_name
from toolchain.compile.program import Part, Program, Step, constants
from toolchain.compile.reserved import RUNTIME, local
from toolchain.compile.tensor import Element, Tensor

TEMPLATES = Path(__file__).resolve().parent / "templates"
TEXT_LIMIT = 64 * 1024
"""Bytes of constants up to which they are written as C text; above, as a binary file that the assembler includes."""
ALIGNMENT = 16


@dataclass(frozen=True)
class Array:
    """A constant with its name in C.

    Attributes:
        name: unique in the program.
        type: of an element.
        data: content.
        offset: in the binary file.
    """

    name: str
    type: str
    data: Any
    offset: int

    @property
    def text(self) -> str:
        """The elements, in lines."""
        return wrapped([number(v) for v in self.data.tolist()])

    @property
    def content(self) -> bytes:
        """The elements, little-endian."""
        return bytes(self.data.astype(self.data.dtype.newbyteorder("<")).tobytes())


def generate(program: Program, plan: Plan) -> dict[str, bytes]:
    """All files of a network, by name.

    Args:
        program: with C identifiers as names.
        plan: of its memory.
    """
    arrays = tuple(_arrays(program))
    total = sum(a.data.nbytes for a in arrays)
    facts = _facts(program, plan, arrays)
    name = program.name
    made = {
        f"{name}.h": _render("model.h.j2", facts),
        f"{name}.c": _render("model.c.j2", facts),
        f"{name}_weights.h": _render("weights.h.j2", facts),
        f"{name}.py": _render("model.py.j2", facts),
        "Makefile": _render("Makefile.j2", facts),
        "CMakeLists.txt": _render("CMakeLists.txt.j2", facts),
        f"{name}Config.cmake.in": _render("Config.cmake.in.j2", facts),
    }
    files = {file: text.encode() for file, text in made.items()}
    if total > TEXT_LIMIT:
        files[f"{name}_weights.S"] = _render("weights.S.j2", facts).encode()
        files[f"{name}_weights.bin"] = _blob(arrays)
    else:
        files[f"{name}_weights.c"] = _render("weights.c.j2", facts).encode()
    for file in kernel_files(program):
        files[file] = (RUNTIME / file).read_bytes()
    return dict(sorted(files.items()))


def harness(program: Program, plan: Plan) -> str:
    """A program that runs the network on every sample of a file."""
    return _render("harness.c.j2", _facts(program, plan, ()))


def render(template: str, program: Program, plan: Plan, more: Mapping[str, Any]) -> str:
    """Any template, with what is known of the network.

    Args:
        template: a file of ``templates/``.
        program: with C identifiers as names.
        plan: of its memory.
        more: further facts.
    """
    return _render(template, {**_facts(program, plan, ()), **more})


def kernel_files(program: Program) -> tuple[str, ...]:
    """The kernels that a program calls, with all that they include."""
    found: set[str] = set()
    pending = [f"{step.call.function}.c" for step in program.steps]
    while pending:
        file = pending.pop()
        if file not in found:
            found.add(file)
            body = Path(file).with_suffix(".c").name
            pending += [body] if (RUNTIME / body).exists() else []
            pending += re.findall(r'#include "([a-z0-9_]+\.h)"', (RUNTIME / file).read_text(encoding="utf-8"))
    return tuple(sorted(found))


def sources(files: dict[str, bytes]) -> tuple[str, ...]:
    """The files among the generated ones that are compiled."""
    return tuple(file for file in files if file.endswith((".c", ".S")))


def _arrays(program: Program) -> Iterator[Array]:
    taken: set[str] = set()
    offset = 0
    for step in program.steps:
        for path, constant in constants(f"{program.name}_{step.name}", step.call.layer):
            offset = -(-offset // ALIGNMENT) * ALIGNMENT
            yield Array(unique(path, taken), constant.type, constant.data, offset)
            offset += constant.data.nbytes


def _blob(arrays: Sequence[Array]) -> bytes:
    parts: list[memoryview] = []
    size = 0
    for array in arrays:
        flat = np.ascontiguousarray(array.data, dtype=array.data.dtype.newbyteorder("<"))
        parts += [memoryview(bytes(array.offset - size)), flat.reshape(-1).view(np.uint8).data]
        size = array.offset + flat.nbytes
    return b"".join(parts)  # one copy of what may be half a gigabyte


@dataclass(frozen=True)
class Call:
    """A call as the template prints it."""

    name: str
    nodes: str
    function: str
    type: str
    structs: tuple[tuple[str, str], ...]
    arrays: tuple[tuple[str, str, str], ...]
    arguments: tuple[str, ...]
    output: str
    bytes: int
    comment: str


@dataclass(frozen=True)
class Variable:
    """A tensor in the arena as the template prints it."""

    name: str
    type: str
    offset: int
    comment: str


@dataclass(frozen=True)
class Port:
    """An input or output as the template prints it."""

    name: str
    macro: str
    type: str
    dtype: str
    size: int
    shape: tuple[int, ...]
    original: str
    scale: str
    zero: int


def _facts(program: Program, plan: Plan, arrays: Sequence[Array]) -> dict[str, Any]:
    names = _Names(program)
    by_data = {id(array.data): array.name for array in arrays or _arrays(program)}
    calls = tuple(_call(index, step, names, by_data) for index, step in enumerate(program.steps))
    read = {tensor.memory for step in program.steps for tensor in step.call.inputs}
    return {
        "name": program.name,
        "macro": program.name.upper(),
        "calls": calls,
        "variables": tuple(_variables(program, plan, names)),
        "inputs": tuple(_port(program, tensor, names) for tensor in program.inputs),
        "outputs": tuple(_port(program, tensor, names) for tensor in program.outputs),
        "unread": tuple(names.of(tensor) for tensor in program.inputs if tensor.memory not in read),
        "arrays": arrays,
        "headers": sorted({step.call.function for step in program.steps}),
        "kernels": [file for file in kernel_files(program) if file.endswith(".c")],
        "kernel_headers": [file for file in kernel_files(program) if file.endswith(".h")],
        "binary": sum(a.data.nbytes for a in arrays) > TEXT_LIMIT,
        "arena": max(plan.size, 1),
        "bound": plan.bound,
        "alignment": max((b.alignment for b in plan.buffers), default=1),
        "weights": sum(a.data.nbytes for a in arrays),
        "threads": max((len(step.call.parts) for step in program.steps), default=0),
    }


class _Names:
    """C names of the tensors of a program, each its own."""

    def __init__(self, program: Program) -> None:
        self._taken: set[str] = {program.name, *(step.name for step in program.steps)}
        self._taken.update(step.call.function for step in program.steps)
        self._known: dict[str, str] = {}
        self._network = program.name
        macros: set[str] = set()
        for tensor in (*program.inputs, *program.outputs):
            made = local(tensor.name, program.name, self._taken)
            while made.upper() in macros:  # its size is a macro, in capitals
                made = local(tensor.name, program.name, self._taken)
            macros.add(made.upper())
            self._known[tensor.memory] = made

    def of(self, tensor: Tensor) -> str:
        """The variable or argument that holds a tensor."""
        return self.memory(tensor.memory)

    def memory(self, name: str) -> str:
        """The variable of a memory."""
        if name not in self._known:
            short = re.sub(r"_QuantizeLinear_Output$", "", name)
            # A layer's parameters bear the layer's name, its result is the map.
            wanted = f"{short}_map" if identifier_taken(short, self._taken) else short
            self._known[name] = local(wanted, self._network, self._taken)
        return self._known[name]


def identifier_taken(name: str, taken: set[str]) -> bool:
    """Whether a name would need a number to be unique."""
    return identifier(name, set()) in taken


def _call(index: int, step: Step, names: _Names, by_data: dict[int, str]) -> Call:
    call = step.call
    parts = call.parts or (Part(call.layer),)
    arrays: list[tuple[str, str, str]] = []
    structs, arguments = [], []
    for number_, part in enumerate(parts):
        name = f"{step.name}_part{number_}" if call.parts else step.name
        structs.append((name, "\n".join(fields(step.name, part.layer, by_data, arrays, 1))))
        arguments.append(_arguments(index, name, step, part, names))
    return Call(
        step.name,
        " + ".join(_printable(node) for node in step.nodes),
        call.function,
        call.layer.type,
        tuple(structs),
        tuple(arrays),
        tuple(arguments),
        names.of(call.output),
        call.output.bytes,
        _shape(call.output),
    )


def _arguments(index: int, name: str, step: Step, part: Part, names: _Names) -> str:
    """What a kernel is called with: parameters, inputs, output, memory to work in."""
    call = step.call
    made = [f"&{name}", *(_behind(names.of(tensor), part.read) for tensor in call.inputs)]
    made.append(_behind(names.of(call.output), part.written))
    if call.scratch:
        bytes_each = 4 if scratch_type(call.function) == "float" else 1
        made.append(_behind(names.memory(scratch_name(index)), part.scratch // bytes_each))
    elif _takes_scratch(call.function):
        made.append("NULL")
    return ", ".join(made)


def _behind(pointer: str, elements: int) -> str:
    return f"{pointer} + {elements}" if elements else pointer


def scratch_type(function: str) -> str:
    """The element of the memory that a kernel works in."""
    return "float" if function.endswith("_f32") else "int8_t"


@cache
def _takes_scratch(function: str) -> bool:
    """Whether the kernel's last parameter is memory to work in."""
    text = (RUNTIME / f"{function}.h").read_text(encoding="utf-8")
    declared = re.search(rf"void {function}\(([^)]*)\)", text)
    return declared is not None and declared.group(1).rstrip().endswith(("patches", "scratch"))


def _printable(text: str) -> str:
    """Text that may stand in a comment of C."""
    return re.sub(r"[^ -)+-.0-~]", "_", text)


def _variables(program: Program, plan: Plan, names: _Names) -> Iterator[Variable]:
    seen: set[str] = set()
    for index, step in enumerate(program.steps):
        for tensor in (*step.call.inputs, step.call.output):
            if tensor.memory not in seen and tensor.memory in plan.offsets:
                seen.add(tensor.memory)
                yield Variable(names.of(tensor), tensor.element.value, plan.offsets[tensor.memory], _shape(tensor))
        scratch = scratch_name(index)
        if scratch in plan.offsets:
            kind = scratch_type(step.call.function)
            what = f"{step.call.scratch} bytes to work in"
            yield Variable(names.memory(scratch), kind, plan.offsets[scratch], what)


def _shape(tensor: Tensor) -> str:
    """As it lies in memory."""
    shape = tensor.shape[1:] if len(tensor.shape) > 1 else tensor.shape
    if tensor.plane > 1 and len(shape) > 1:
        shape = (*shape[1:], shape[0])
    elif len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    return " x ".join(map(str, shape)) or "1"


def _port(program: Program, tensor: Tensor, names: _Names) -> Port:
    name = names.of(tensor)
    q = tensor.quantization if tensor.element is Element.INT8 else None
    dtype = {Element.FLOAT: "float32", Element.INT8: "int8", Element.UINT8: "uint8"}[tensor.element]
    return Port(
        name,
        f"{program.name}_{name}".upper(),
        tensor.element.value,
        dtype,
        tensor.size,
        tensor.shape,
        _printable(tensor.name),
        "" if q is None else number(float(np.float32(float(q.scale)))),
        0 if q is None else q.zero,
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - C, not HTML; names are sanitised where they enter
    )


def _render(template: str, facts: dict[str, Any]) -> str:
    return _environment().get_template(template).render(facts)
