"""What the user chooses about the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolchain.compile.march import marched
from toolchain.compile.ports import IO
from toolchain.compile.targets import Target, target_of
from toolchain.compile.threads import threaded
from toolchain.compile.tuning import MODES, one_of
from toolchain.errors import UsageError


@dataclass(frozen=True)
class Options:
    """How C is made of a model.

    Attributes:
        name: prefix of all public names in C; from the model by default.
        shapes: of graph inputs with free dimensions other than the batch.
        fused: build layers into one another; otherwise every quantized tensor exists.
        flash: bytes of the chip's flash, if not the target's.
        ram: bytes of the chip's RAM, if not the target's.
        march: instruction set that the host's compiler may use; this machine's by default.
        winograd: compute float convolutions of 3 x 3 with fewer products and a larger error; where there are vectors.
        mode: of a microcontroller: ``fast``, or ``small`` for the smallest arena.
        io: ``int8`` leaves the borders between float and integers to the caller.
        threads: that share large layers; OpenMP starts them, where there is an operating system.
    """

    name: str | None = None
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    fused: bool = True
    flash: int | None = None
    ram: int | None = None
    march: str | None = None
    winograd: bool = False
    mode: str = "fast"
    io: str = "float"
    threads: int = 1

    def device(self, name: str) -> Target:
        """The target of a name, as it is chosen here.

        Raises:
            UnknownNameError: there is no such target, mode, kind of ports or instruction set.
            UsageError: it has no such choice.
        """
        one_of("mode", self.mode, MODES)
        one_of("io", self.io, IO)
        target = self._sized(target_of(name))
        if self.mode != MODES[0] and target.memory is None:
            raise UsageError(f"--mode {self.mode} is of microcontrollers; {target.name} is none; leave it out")
        target = threaded(target, self.threads)
        return marched(target, self.march, winograd=self.winograd)

    def _sized(self, target: Target) -> Target:
        if self.flash is None and self.ram is None:
            return target
        if target.memory is None:
            raise UsageError(f"--flash and --ram are of microcontrollers; {target.name} has an operating system")
        flash, ram = self.flash or target.memory.flash, self.ram or target.memory.ram
        return replace(target, memory=replace(target.memory, flash=flash, ram=ram))
