"""Classify every integer that ONNX Runtime computes otherwise than it is meant, over whole test sets.

Each network of this repository is exported and quantized with 7-bit and with full-range weights; its integers at every
optimisation level are compared with the exact ones. The trained networks take all test pictures, the two large ones
have random weights and a few synthetic samples. Exit code 1 if one deviation is unknown.

    python -m benchmarks.deviations [NAME ...] [--samples 10000] [--write]

``--write`` keeps what was measured in ``results/deviations.json``, beside what stands there of other networks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from toolchain.cli.common import progress_bar
from toolchain.data import Samples, samples
from toolchain.export import export
from toolchain.files import write_bytes
from toolchain.load import load
from toolchain.progress import Progress, silent
from toolchain.quantize.rewrite import Scheme
from toolchain.quantize.static import convert
from toolchain.session import OPTIMIZATION
from toolchain.verify.census import census
from toolchain.verify.deviation import Deviations

RESULTS = Path(__file__).parent / "results" / "deviations.json"
TRAINED = {
    "lenet5": "mnist",
    "lenet5-relu": "mnist",
    "lenet5-fashion": "fashion-mnist",
    "example-cnn": "mnist",
}
"""Networks with trained weights, and their data."""
LARGE = ("alexnet", "vgg16")
SYNTHETIC = 2
WEIGHTS = {"7 bits": Scheme(), "full range": Scheme(reduce_range=False)}
CALIBRATE = 512


@dataclass(frozen=True)
class Count:
    """One model at one optimisation level.

    Attributes:
        network: its name.
        weights: a key of :data:`WEIGHTS`.
        level: of the runtime's optimiser.
        samples: their number.
        found: counts by class over all tensors of integers.
    """

    network: str
    weights: str
    level: str
    samples: int
    found: Deviations

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        f = self.found
        counts = {"integers": f.elements, "tie": f.tie, "saturation": f.saturation, "fusion": f.fusion}
        stated = {"network": self.network, "weights": self.weights, "level": self.level, "samples": self.samples}
        return {**stated, **counts, "unknown": f.unknown}


def prepared(network: str, weights: str, count: int, folder: Path) -> tuple[ir.Model, Samples]:
    """The quantized network, and what to run it on.

    Args:
        network: of :data:`TRAINED` or :data:`LARGE`.
        weights: a key of :data:`WEIGHTS`.
        count: test samples; of a large network at most :data:`SYNTHETIC` are drawn.
        folder: for the exported file.
    """
    path = folder / f"{network}.onnx"
    large = network in LARGE
    if not path.exists():
        export(network, output=path, batch=1 if large else "dynamic", seed=0 if large else None)
    model = load(path)
    if large:
        calibration = samples(model, None, synthetic=SYNTHETIC, seed=1)
        test = samples(model, None, synthetic=min(count, SYNTHETIC), seed=2)
    else:
        calibration = samples(model, f"{TRAINED[network]}:train:{CALIBRATE}")
        test = samples(model, f"{TRAINED[network]}:test:{count}")
    return convert(model, calibration, WEIGHTS[weights]), test


def measure(
    network: str,
    weights: str,
    count: int,
    folder: Path,
    levels: Sequence[str] = OPTIMIZATION,
    progress: Progress = silent,
) -> tuple[Count, ...]:
    """Classify the deviations of one quantized network at every level."""
    model, test = prepared(network, weights, count, folder)
    found = census(model, test, levels, progress=progress)
    return tuple(
        Count(network, weights, level, len(test), sum(by_tensor.values(), Deviations()))
        for level, by_tensor in found.items()
    )


def kept(counts: Sequence[Count], path: Path = RESULTS) -> list[dict[str, Any]]:
    """What stands in the file, with these networks replaced."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    fresh = {(c.network, c.weights) for c in counts}
    rows = [row for row in before if (row["network"], row["weights"]) not in fresh]
    order = {name: i for i, name in enumerate((*TRAINED, *LARGE))}
    rows += [c.to_dict() for c in counts]
    return sorted(rows, key=lambda r: (order[r["network"]], list(WEIGHTS).index(r["weights"])))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, perhaps keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*TRAINED, *LARGE))}; default: all")
    parser.add_argument("--samples", type=int, default=10_000, help="test pictures of a trained network")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULTS.name}")
    given = parser.parse_args(argv)
    unknown = set(given.names) - {*TRAINED, *LARGE}
    if unknown:
        parser.error(f"no such network: {', '.join(sorted(unknown))}")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, progress_bar() as progress:
        for network in given.names or (*TRAINED, *LARGE):
            for weights in WEIGHTS:
                counts = measure(network, weights, given.samples, Path(folder), progress=progress)
                for c in counts:
                    wrong += c.found.unknown
                    sys.stdout.write(
                        f"{c.network}, weights {c.weights}, {c.level}: {c.found.elements:,} integers of "
                        f"{c.samples:,} samples: {c.found.counts()}\n"
                    )
                    sys.stdout.flush()
                if given.write:
                    text = json.dumps(kept(counts), indent=1) + "\n"
                    write_bytes(RESULTS, text.encode(), force=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
