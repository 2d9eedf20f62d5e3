"""A PC whose processor has what this one lacks, emulated by Bochs: instruction for instruction, AVX-512 among them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tests.compile.running import kernel
from toolchain.compile.build import WARNINGS, objects, run
from toolchain.compile.generate import harness, sources
from toolchain.compile.host import split
from toolchain.compile.targets import HARNESS, Tool
from toolchain.compile.tensor import Element
from toolchain.compile.translate import Generated

Array = NDArray[Any]
HERE = Path(__file__).parent
BOCHS = Tool("bochs", "bochs bochs-term bochsbios vgabios")
SECTOR = 512
TRACK = 16 * 63 * SECTOR
"""A disk's size is a multiple of it: 16 heads, 63 sectors."""
LINK = ("-nostdlib", "-static", "-no-pie", f"-Wl,-T,{HERE / 'pc.ld'}", "-Wl,--build-id=none", "-Wl,-N")
MACHINE = """\
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=tigerlake, ips=10000000, reset_on_triple_fault=0
memory: guest=128, host=128
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path=program.img, mode=flat
ata0-slave: type=disk, path=data.img, mode=flat
boot: disk
clock: sync=none
speaker: enabled=0
log: bochs.log
panic: action=fatal
"""


def answers(
    made: Generated, feeds: Sequence[dict[str, Array]], folder: Path, flags: Sequence[str], *, compiler: str = "gcc"
) -> Iterator[dict[str, Array]]:
    """Every layer's output for each sample, as :func:`toolchain.compile.device.answers` gives them.

    Args:
        made: the network.
        feeds: samples of batch 1.
        folder: made here, for all that is built.
        flags: of compiling.
        compiler: gcc or clang.
    """
    folder.mkdir(parents=True)
    given = b"".join(_bytes(made, sample) for sample in feeds)
    size = sum(step.call.output.bytes for step in made.program.steps)
    _disk(folder / "program.img", _program(made, folder, flags, compiler, len(given)).read_bytes())
    report = -(-len(given) // SECTOR) * SECTOR
    _disk(folder / "data.img", given, report + SECTOR + size * len(feeds))
    _emulate(folder)
    content = (folder / "data.img").read_bytes()
    assert struct.unpack_from("<IIQ", content, report) == (1, 0, size * len(feeds)), _end(folder)
    for index in range(len(feeds)):
        start = report + SECTOR + index * size
        yield split(made.program, content[start : start + size])


def _bytes(made: Generated, sample: dict[str, Array]) -> bytes:
    kinds = {Element.FLOAT: "<f4", Element.INT8: "i1", Element.UINT8: "u1"}
    return b"".join(sample[t.name].astype(kinds[t.element]).tobytes() for t in made.program.inputs)


def _program(made: Generated, folder: Path, flags: Sequence[str], compiler: str, given: int) -> Path:
    """What lies on the first disk."""
    name = made.program.name
    for file, content in made.files.items():
        (folder / file).write_bytes(content)
    for path in (HERE / "boot.S", HERE / "port_pc.c", HARNESS / "port.h"):
        shutil.copy(path, folder)
    (folder / "harness.c").write_text(harness(made.program, made.plan), encoding="utf-8")
    own = [file for file in sources(made.files) if file.startswith(name)]
    options = [*WARNINGS, *flags, "-fPIC", f"-D{name.upper()}_OBSERVE"]
    units = objects([compiler], options, [*own, "harness.c"], folder, folder)
    units += objects(["gcc"], [*WARNINGS, "-O2", "-ffreestanding", "-fno-pic"], ["port_pc.c", "boot.S"], folder, folder)
    kernels = [kernel(compiler, tuple(flags), file) for file in sources(made.files) if file not in own]
    run(["gcc", *LINK, f"-Wl,--defsym=input_bytes={given}", "-o", "net.elf", *units, *kernels], folder)
    run(["objcopy", "-O", "binary", "-R", ".bss", "net.elf", "net.bin"], folder)
    return folder / "net.bin"


def _disk(path: Path, content: bytes, size: int = 0) -> None:
    """A disk that begins with given bytes; zeros behind them, and room for as many bytes as asked."""
    whole = -(-max(size, len(content)) // TRACK) * TRACK
    with path.open("wb") as file:
        file.write(content)
        file.truncate(whole)


def _emulate(folder: Path) -> None:
    (folder / "bochsrc").write_text(MACHINE, encoding="utf-8")
    (folder / "commands").write_text("continue\n", encoding="utf-8")
    with (folder / "screen").open("wb") as screen:
        subprocess.run(
            [BOCHS.path(), "-q", "-f", "bochsrc", "-rc", "commands"],
            cwd=folder,
            env={**os.environ, "TERM": "vt100"},
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            check=False,
        )


def _end(folder: Path) -> str:
    """The last words of the emulator."""
    return "\n".join((folder / "bochs.log").read_text(encoding="utf-8").splitlines()[-30:])
