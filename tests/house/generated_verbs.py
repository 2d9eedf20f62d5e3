"""The command line in Markdown: verbs, their options, and what errors look like."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import click
import onnx

from tests.house.sources import ROOT
from toolchain import errors as tree
from toolchain.cli import main as command_line

EXAMPLES = (
    "verify relu.onnx moved.onnx --synthetic 4",
    "export lenet6 -o lenet6.onnx",
    "quantize relu.onnx -o moved.onnx --data mnist:test",
    "verify relu.onnx --synthetic 4 --backend ort-gpu",
    "benchmark relu.onnx --synthetic 64 --provider qnn",
    "inspect lenet5.onnx",
    "verify einsum.onnx --synthetic 4",
    "export lenet5 --weights lenet5.pt -o lenet5.onnx",
    "inspect outside.onnx",
)
"""Mistakes that cost no work to make: what each prints is written into the documents."""

CODES = (
    (0, "done"),
    (1, "a gate failed: not equivalent, or over a budget"),
    (2, "usage: the request makes no sense"),
    (3, "a provider, device, tool or package is missing"),
    (4, "network: a download failed"),
    (5, "file: missing, corrupt, not what its name says, not supported, or not writable"),
    (6, "refused as unsafe before reading on"),
    (command_line.INTERNAL, "internal error: a fault of onnx-edge"),
    (command_line.INTERRUPTED, "interrupted by Ctrl-C"),
    (command_line.BROKEN_PIPE, "the reader of the output went away (`| head`)"),
)


@cache
def commands() -> dict[str, click.Command]:
    """Every verb's command, in the order of processing."""
    found = {}
    for verb in command_line.VERBS:
        command: click.Command = importlib.import_module(f"toolchain.cli.{verb}").command
        command.name = verb
        found[verb] = command
    return found


def overview() -> str:
    """One line a verb."""
    rows = [f"| [`{verb}`](docs/cli.md#{verb}) | {text} |" for verb, text in command_line.VERBS.items()]
    return "\n".join(("| verb | what it does |", "|---|---|", *rows))


def usage(command: click.Command) -> str:
    """``onnx-edge VERB ARGUMENTS [OPTIONS]``, with the options that must be given."""
    words = [f"onnx-edge {command.name}"]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            name = _metavar(parameter).strip("[]") + ("..." if parameter.nargs == -1 else "")
            words.append(name if parameter.required else f"[{name}]")
        elif parameter.required:
            words.append(f"{min(parameter.opts, key=len)} {_metavar(parameter)}")
    return " ".join((*words, "[OPTIONS]"))


def reference() -> str:
    """Every verb with its options."""
    blocks = []
    for verb, command in commands().items():
        text = inspect.cleandoc(command.help or "").split("\f")[0].replace("\b\n", "").strip()
        rows = [_row(option) for option in command.params if isinstance(option, click.Option) and not option.hidden]
        blocks.append(
            "\n".join(
                (f"## {verb}", "", "```", usage(command), "```", "", text, "", "| option | |", "|---|---|", *rows)
            )
        )
    return "\n\n".join(blocks)


def errors() -> str:
    """The exit codes, the tree of errors, and examples as they are printed."""
    rows = [f"| {code} | {meaning} |" for code, meaning in CODES]
    drawn = inspect.cleandoc(tree.__doc__ or "").split("::\n", 1)[1].split("\n\nAnything", 1)[0]
    examples = []
    for arguments in EXAMPLES:
        code, message = printed(arguments)
        examples.append(f"$ onnx-edge {arguments}\n{message}\n$ echo $?\n{code}")
    return "\n".join(
        (
            "| exit code | meaning |",
            "|---|---|",
            *rows,
            "",
            "```",
            inspect.cleandoc(drawn),
            "```",
            "",
            "```console",
            "\n\n".join(examples),
            "```",
        )
    )


def printed(arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command that runs in a folder of its own."""
    here, stream = Path.cwd(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder))
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(stream):
                code = command_line.main(arguments.split())
        finally:
            os.chdir(here)
    message = stream.getvalue().strip() or output.getvalue().strip()
    message = re.sub(r"\(has: [^)]*\)", "(has: cpu)", message)  # of the installation that the documents describe
    if str(ROOT) in message or folder in message:
        raise ValueError(f"the message of {arguments!r} names a path of this machine: {message}")
    return code, message


def _fill(folder: Path) -> None:
    """What the examples need: small models, one of them another, one not supported, one that reaches outside."""
    make = onnx.helper
    shape = {name: make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("x", "y")}

    def save(name: str, nodes: Sequence[onnx.NodeProto], tensors: Sequence[onnx.TensorProto] = ()) -> None:
        graph = make.make_graph(nodes, "example", [shape["x"]], [shape["y"]], tensors)
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 20)], ir_version=10)
        (folder / name).write_bytes(model.SerializeToString())

    save("relu.onnx", [make.make_node("Relu", ["x"], ["y"], "relu")])
    save("moved.onnx", [make.make_node("LeakyRelu", ["x"], ["y"], "relu", alpha=0.01)])
    save("einsum.onnx", [make.make_node("Einsum", ["x"], ["y"], "sum", equation="ij->ij")])
    outside = make.make_tensor("w", onnx.TensorProto.FLOAT, [4], [0.0] * 4)
    outside.ClearField("float_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret.bin")
    save("outside.onnx", [make.make_node("Add", ["x", "w"], ["y"], "add")], [outside])
    (folder / "lenet5.pt").write_bytes(b"\x80\x02.")


def _metavar(parameter: click.Parameter) -> str:
    if parameter.metavar:
        return parameter.metavar
    if isinstance(parameter.type, click.Choice):
        return "|".join(map(str, parameter.type.choices))
    if isinstance(parameter, click.Argument):
        return (parameter.name or "").upper()
    names = {"integer": "N", "integer range": "N", "float": "X", "float range": "X", "path": "FILE", "text": "TEXT"}
    return names.get(parameter.type.name, parameter.type.name.upper())


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else f" `{_metavar(option)}`".replace("|", "\\|")
    notes = []
    if option.required:
        notes.append("required")
    elif option.show_default and option.default is not None and not option.is_flag:
        notes.append(f"default `{option.default}`")
    if option.multiple:
        notes.append("may be repeated")
    help_text = " ".join((option.help or "").split()).replace("|", "\\|")
    return f"| {names}{value} | {help_text}{' (' + ', '.join(notes) + ')' if notes else ''} |"
