"""The log of a device's self-test, as it came through a serial port.

A line is ``$EDGE WORDS*CRC``, as in NMEA 0183 but with the CRC-32 of what stands between ``$`` and ``*`` in eight
hexadecimal digits. What a terminal program, a bootloader or another task writes in between is skipped, and a line that
was damaged on the way is counted and not believed. ``toolchain/compile/templates/selftest.c.j2`` writes it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolchain.compile.golden import LOG_VERSION, digest
from toolchain.errors import FileError
from toolchain.external import read_plain

MOST_BYTES = 64 << 20
MOST_LINES = 1 << 20
_LINE = re.compile(rb"\$EDGE ([ -#%-)+-~]{1,400})\*([0-9a-f]{8})")
_MARK = re.compile(rb"\$EDGE ")
_SHOWN = 12


@dataclass(frozen=True)
class LoggedLayer:
    """A line about a layer.

    Attributes:
        sample: which of the stored ones.
        index: of the layer, in order of computation.
        name: in C.
        expected: CRC-32 as eight digits, or ``none`` where float arithmetic decides the bytes.
        received: what the device computed.
    """

    sample: int
    index: int
    name: str
    expected: str
    received: str

    @property
    def departs(self) -> bool:
        """The device made other bytes than exact arithmetic."""
        return self.expected not in ("none", self.received)


@dataclass
class _Run:
    """Lines from one ``begin`` to the next."""

    network: str
    model: str
    layers: int
    samples: int
    lines: dict[tuple[int, int], LoggedLayer] = field(default_factory=dict)
    ended: bool = False

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return self.ended and len(self.lines) == self.layers * self.samples

    def add(self, line: LoggedLayer) -> None:
        """Keep a line; of two about the same, the one that departs."""
        key = line.sample, line.index
        if line.sample < self.samples and line.index < self.layers:
            known = self.lines.get(key)
            self.lines[key] = known if known is not None and known.departs else line

    def missing(self) -> str:
        """What is not there, for a message."""
        total = self.samples * self.layers
        if len(self.lines) == total:
            return "the last line is"
        each = ((sample, layer) for sample in range(self.samples) for layer in range(self.layers))
        sample, layer = next(key for key in each if key not in self.lines)
        return f"{total - len(self.lines)} of {total} layers' lines, from sample {sample}, layer {layer} on, are"


@dataclass(frozen=True)
class LogVerdict:
    """What a log says.

    Attributes:
        log: the file.
        network: its name in C.
        model: digest of the model that the device was built from.
        runs: of the self-test, complete or cut off.
        complete: of these, how many have every line.
        compared: checksums.
        unjudged: checksums of layers that float arithmetic decides.
        damaged: lines whose own checksum is wrong; not believed.
        departed: how many checksums are not the expected ones.
        first: the first layer in order of computation that departs in any run; ``None`` if none does.
        uncertain: names what lies before ``first`` and is not in the log, so that an earlier layer may depart too.
    """

    log: str
    network: str
    model: str
    runs: int
    complete: int
    compared: int
    unjudged: int
    damaged: int
    departed: int
    first: LoggedLayer | None
    uncertain: str

    @property
    def ok(self) -> bool:
        """No layer departs."""
        return self.first is None

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {**asdict(self), "ok": self.ok}


def verify_log(log: Path, model: Path | None = None) -> LogVerdict:
    """Judge a device by its self-test's log.

    Args:
        log: the file; other text in it does not matter.
        model: what the device was to be built from; compared with the digest in the log.

    Raises:
        FileError: no self-test in it, none that is complete and none that departs, or of another model.
    """
    runs, damaged = _runs(log)
    if not runs:
        raise FileError(
            f"{log} holds no self-test ({damaged} damaged lines): expected a line that begins with '$EDGE begin'; "
            "start the capture before the device"
        )
    _check_model(log, runs, model)
    departing = [line for run in runs for line in run.lines.values() if line.departs]
    lines = [line for run in runs for line in run.lines.values()]
    complete = sum(run.complete for run in runs)
    if not departing and not complete:
        raise FileError(
            f"{log} is incomplete: {runs[-1].missing()} missing, {damaged} damaged; nothing departs in the rest. "
            "Capture it again, at a rate that the connection carries"
        )
    judged = [line for line in lines if line.expected != "none"]
    if not departing and not judged:
        raise FileError(f"{log} compares no layer; build the self-test from a quantized model")
    first = min(departing, key=lambda line: (line.index, line.sample), default=None)
    return LogVerdict(
        log=str(log),
        network=runs[-1].network,
        model=runs[-1].model,
        runs=len(runs),
        complete=complete,
        compared=len(judged),
        unjudged=len(lines) - len(judged),
        damaged=damaged,
        departed=len(departing),
        first=first,
        uncertain="" if first is None else _uncertain(runs, first),
    )


def _uncertain(runs: list[_Run], first: LoggedLayer) -> str:
    """Layers before the first that departs, for the same sample, of which a run that shows it says nothing."""
    run = next(run for run in runs if run.lines.get((first.sample, first.index)) == first)
    gone = [str(i) for i in range(first.index) if (first.sample, i) not in run.lines]
    if not gone:
        return ""
    more = ", ..." if len(gone) > _SHOWN else ""
    return f"layers {', '.join(gone[:_SHOWN])}{more} of sample {first.sample} are not in the log"


def _check_model(log: Path, runs: list[_Run], model: Path | None) -> None:
    """All runs are of one model, and of the given one.

    Raises:
        FileError: they are not.
    """
    found = {run.model for run in runs}
    if len(found) > 1:
        several = ", ".join(sorted(one[:_SHOWN] for one in found))
        raise FileError(f"{log} holds self-tests of {len(found)} models ({several}); cut it to one")
    if model is not None:
        wanted = digest(model)
        if wanted not in found:
            raise FileError(
                f"{log} is of another model than {model}: expected {wanted[:_SHOWN]}..., received "
                f"{found.pop()[:_SHOWN]}...; compile {model} with --golden again, or give the model that was compiled"
            )


def _runs(log: Path) -> tuple[list[_Run], int]:
    """The runs in a log, and how many lines were damaged."""
    # Some terminals and shells save UTF-16: two bytes a character, of which one is 0.
    content = read_plain(log, str(log), 0, MOST_BYTES + 1).replace(b"\0", b"")
    if len(content) > MOST_BYTES:
        raise FileError(f"{log} has more than {MOST_BYTES} bytes; cut out the self-test")
    runs: list[_Run] = []
    believed = 0
    for words in _lines(content):
        try:
            if words[0] == "begin":
                runs.append(_begun(log, words))
            elif words[0] == "layer" and runs:
                runs[-1].add(_layer(words))
            elif words[0] == "end" and runs:
                runs[-1].ended = True
            believed += 1
        except (KeyError, ValueError):
            continue
    return runs, len(_MARK.findall(content)) - believed


def _lines(content: bytes) -> Iterator[list[str]]:
    """The words of each line whose checksum is right."""
    for match in _LINE.finditer(content):
        if zlib.crc32(b"EDGE " + match[1]) == int(match[2], 16):
            yield match[1].decode("ascii").split(" ")


def _facts(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words[1:] if "=" in word)


def _begun(log: Path, words: list[str]) -> _Run:
    facts = _facts(words)
    if facts["version"] != str(LOG_VERSION):
        raise FileError(
            f"{log} is of version {facts['version']}, expected {LOG_VERSION}; read it with the release that compiled "
            "the self-test"
        )
    made = _Run(facts["network"], facts["model"], _count(facts["layers"]), _count(facts["samples"]))
    if made.layers * made.samples > MOST_LINES:
        raise ValueError("no device writes that many lines")
    return made


def _layer(words: list[str]) -> LoggedLayer:
    facts = _facts(words)
    return LoggedLayer(
        _count(facts["sample"]), _count(facts["index"]), facts["name"], facts["expected"], facts["received"]
    )


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError("no count")
    return int(text)
