"""Where generated code can run: compilers, flags, memory, and the emulator that stands for the device.

To add a target, add a :class:`Target` to :data:`TARGETS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.compile.build import find
from toolchain.errors import UnknownNameError

HARNESS = Path(__file__).resolve().parents[1] / "runtime" / "harness"
KIB = 1024


@dataclass(frozen=True)
class Tool:
    """A program and the package of Debian that brings it."""

    name: str
    package: str

    def path(self) -> str:
        """Where it is.

        Raises:
            MissingError: it is not installed.
        """
        return find(self.name, self.package)


@dataclass(frozen=True)
class Memory:
    """Of a microcontroller: origin and bytes."""

    flash_origin: int
    flash: int
    ram_origin: int
    ram: int


@dataclass(frozen=True)
class Target:
    """One kind of device.

    Attributes:
        name: on the command line.
        what: for people.
        compiler: drives compiling and linking.
        size: prints the sections of an object file.
        archiver: makes static libraries.
        flags: of every compilation.
        optimization: of every compilation, unless the user gives another.
        emulator: runs an executable; ``None`` for this machine.
        run: its arguments; the executable follows.
        port: files of ``runtime/harness`` that connect the harness to the device.
        link: flags of the last step.
        memory: flash and RAM of the chip; ``None`` where an operating system gives memory.
        module: a WebAssembly module is made, in place of libraries.
        kernels: the set of ``tuning.KERNELS`` that is fastest on it.
    """

    name: str
    what: str
    compiler: Tool
    size: Tool
    archiver: Tool
    flags: tuple[str, ...] = ()
    optimization: str = "-O3"
    emulator: Tool | None = None
    run: tuple[str, ...] = ()
    port: tuple[str, ...] = ("port_posix.c",)
    link: tuple[str, ...] = ()
    memory: Memory | None = None
    module: bool = False
    kernels: str = "portable"


def _cortex(
    core: str, board: str, flags: tuple[str, ...], memory: Memory, what: str, kernels: str = "portable"
) -> Target:
    return Target(
        name=f"cortex-{core}",
        what=what,
        compiler=Tool("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        size=Tool("arm-none-eabi-size", "binutils-arm-none-eabi"),
        archiver=Tool("arm-none-eabi-ar", "binutils-arm-none-eabi"),
        flags=(*flags, "-mthumb", "-ffunction-sections", "-fdata-sections"),
        optimization="-O2",
        emulator=Tool("qemu-system-arm", "qemu-system-arm"),
        run=(
            *("-M", board, "-nographic", "-monitor", "none", "-serial", "none"),
            *("-semihosting-config", "enable=on,target=native", "-kernel"),
        ),
        port=("port_semihosting.c", "startup_cortex_m.c"),
        link=("-nostartfiles", "-specs=nosys.specs", "-Wl,--gc-sections", "-Wl,-T,cortex_m.ld"),
        memory=memory,
        kernels=kernels,
    )


def _linux(name: str, triplet: str, libc: str, emulator: str, what: str, flags: tuple[str, ...] = ()) -> Target:
    return Target(
        name=name,
        what=what,
        compiler=Tool(f"{triplet}-gcc", f"gcc-{triplet} libc6-dev-{libc}-cross"),
        size=Tool(f"{triplet}-size", f"binutils-{triplet}"),
        archiver=Tool(f"{triplet}-ar", f"binutils-{triplet}"),
        flags=flags,
        emulator=Tool(emulator, "qemu-user"),
        link=("-static",),
    )


def _wasm(name: str, what: str, flags: tuple[str, ...]) -> Target:
    return Target(
        name=name,
        what=what,
        compiler=Tool("clang", "clang lld wasi-libc"),
        size=Tool("llvm-size", "llvm"),
        archiver=Tool("llvm-ar", "llvm"),
        flags=("--target=wasm32-wasi", *flags),
        emulator=Tool("node", "nodejs"),
        run=(str(HARNESS / "port_wasm.mjs"),),
        port=("port_wasm.c",),
        link=("-nostartfiles", "-nodefaultlibs", "-Wl,--no-entry", "-lc"),
        module=True,
    )


_AT_ZERO = {"flash_origin": 0, "ram_origin": 0x20000000}
_ALL = (
    Target("host", "this machine", Tool("gcc", "gcc libc6-dev"), Tool("size", "binutils"), Tool("ar", "binutils")),
    _linux("aarch64", "aarch64-linux-gnu", "arm64", "qemu-aarch64", "64-bit Arm, Linux"),
    _linux("riscv", "riscv64-linux-gnu", "riscv64", "qemu-riscv64", "64-bit RISC-V, Linux"),
    _linux(
        "armv7",
        "arm-linux-gnueabihf",
        "armhf",
        "qemu-arm",
        "32-bit Arm with NEON, Linux",
        ("-march=armv7-a", "-mfpu=neon-vfpv4"),
    ),
    _wasm("wasm", "WebAssembly with SIMD: browsers since 2023, Node.js since 16", ("-msimd128", "-mbulk-memory")),
    _wasm("wasm-mvp", "WebAssembly 1.0, for runtimes without SIMD", ()),
    _cortex(
        "m0",
        "microbit",
        ("-mcpu=cortex-m0",),
        Memory(**_AT_ZERO, flash=256 * KIB, ram=16 * KIB),
        "Cortex-M0, 256/16 KiB",
        "patch",
    ),
    _cortex(
        "m3",
        "mps2-an385",
        ("-mcpu=cortex-m3",),
        Memory(**_AT_ZERO, flash=512 * KIB, ram=64 * KIB),
        "Cortex-M3, 512/64 KiB",
        "patch",
    ),
    _cortex(
        "m4",
        "mps2-an386",
        ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        Memory(**_AT_ZERO, flash=1024 * KIB, ram=128 * KIB),
        "Cortex-M4F, 1024/128 KiB",
        "dual",
    ),
    _cortex(
        "m7",
        "mps2-an500",
        ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
        Memory(**_AT_ZERO, flash=2048 * KIB, ram=512 * KIB),
        "Cortex-M7F, 2048/512 KiB",
        "dual",
    ),
    _cortex(
        "m33",
        "mps2-an505",
        ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        Memory(0x10000000, 512 * KIB, 0x38000000, 256 * KIB),
        "Cortex-M33F, 512/256 KiB",
        "dual",
    ),
    _cortex(
        "m55",
        "mps3-an547",
        ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
        Memory(0x00000000, 512 * KIB, 0x20000000, 512 * KIB),
        "Cortex-M55 with MVE, 512/512 KiB",
        "vector",
    ),
)

TARGETS = {target.name: target for target in _ALL}
"""By name, in the order in which they are shown."""


def target_of(name: str) -> Target:
    """A target by name.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in TARGETS:
        raise UnknownNameError("target", name, TARGETS)
    return TARGETS[name]
