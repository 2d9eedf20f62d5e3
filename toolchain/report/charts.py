"""Pictures of a report as inline SVG: the same data give the same bytes.

Colours are named, not fixed: marker colours are replaced by CSS variables, so that one picture serves a light
and a dark page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from toolchain.verify import RegionVerdict

# Colours that matplotlib draws with -> what stands in the page.
VARIABLES = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--float)",
    "#050505": "var(--int8)",
    "#060606": "var(--bad)",
    "#070707": "var(--sound)",
    "#080808": "var(--probable)",
}
INK, MUTED, LINE, FLOAT, INT8, BAD, SOUND, PROBABLE = VARIABLES
SERIES = {"float": FLOAT, "int8": INT8}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "onnx-edge",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # always with matplotlib, so that measures are the same everywhere
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    # Text of models is text: no TeX between dollar signs.
    "text.parse_math": False,
}
WIDTH = 7.6
FLOOR = 1e-4
MAX_ROWS = 40
MAX_NAME = 34
CURVE_POINTS = 400
REACH = 2.0
"""The slowest calls are other programs' doing: the axis ends at this multiple of the slower median."""


def layers(name: str, regions: Sequence[RegionVerdict]) -> str:
    """Error per layer as a share of its sound and probable bounds, on a logarithmic scale.

    Args:
        name: of the picture, unique in the page.
        regions: judged tensors in the model's order; of more than 40 the 40 closest to their bounds.
    """
    closest = sorted(range(len(regions)), key=lambda i: -regions[i].sound_ratio)[:MAX_ROWS]
    rows = [regions[i] for i in sorted(closest)]
    title = f"Largest error of {len(rows)} layers as a share of its limits"
    with _drawing(name, title, 0.42 * len(rows) + 1.1) as drawing:
        axes = drawing.axes
        finite = [r for region in rows for r in (region.sound_ratio, region.probable_ratio) if math.isfinite(r)]
        end = max(3.0, 3.0 * max(finite, default=1.0))
        for row, region in enumerate(rows):
            if region.problem or region.sound_ratio == region.probable_ratio == 0.0:
                text, colour = ("not compared", BAD) if region.problem else ("exact", MUTED)
                axes.text(FLOOR * 1.15, row, text, va="center", color=colour)
                continue
            _bar(axes, row - 0.17, region.sound_ratio, SOUND, end)
            _bar(axes, row + 0.17, region.probable_ratio, PROBABLE, end)
        axes.set_xscale("log")
        axes.set_xlim(FLOOR, end)
        axes.axvline(1.0, color=BAD, linewidth=1.4)
        axes.set_yticks(range(len(rows)), [_short(region.name) for region in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(FuncFormatter(_decimal))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("largest error as a share of its limit (1 = the limit)")
        _key(axes, {"of the sound limit": SOUND, "of the probable limit": PROBABLE})
    return drawing.svg


def heat_map(name: str, title: str, error: Sequence[Sequence[float]]) -> str:
    """An error over rows and columns, dark where it is small.

    Args:
        name: of the picture, unique in the page.
        title: for those who listen.
        error: at most 32 rows of at most 32 columns; what is not finite is drawn as the largest number that is.
    """
    cells = np.asarray(error, dtype=np.float64)
    largest = float(np.max(cells, where=np.isfinite(cells), initial=0.0)) or 1.0
    cells = np.nan_to_num(cells, nan=largest, posinf=largest, neginf=largest)
    with _drawing(name, title, max(1.2, 0.11 * cells.shape[0] + 0.9)) as drawing:
        axes = drawing.axes
        picture = axes.pcolormesh(cells, cmap="inferno", vmin=0.0, vmax=largest, linewidth=0)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.figure.colorbar(picture, ax=axes, shrink=0.9, label="absolute error")
    return drawing.svg


def latency(name: str, seconds: Mapping[str, NDArray[np.float64]]) -> str:
    """Distribution of latencies: which share of the calls took at most so long.

    Args:
        name: of the picture.
        seconds: of every timed call, by series (``float``, ``int8``).
    """
    with _drawing(name, "Share of the calls that took at most so long", 3.1) as drawing:
        axes = drawing.axes
        for series, values in seconds.items():
            ordered = np.sort(values) * 1e6
            share = np.linspace(0.0, 1.0, CURVE_POINTS)
            axes.plot(
                np.quantile(ordered, share, method="inverted_cdf"),
                share,
                color=SERIES.get(series, MUTED),
                linewidth=2,
                drawstyle="steps-post",
            )
            middle = float(np.median(ordered))
            axes.plot([middle], [0.5], marker="o", markersize=6, color=SERIES.get(series, MUTED))
        every = np.concatenate([np.asarray(values) for values in seconds.values()]) * 1e6
        end = min(float(every.max()), REACH * max(float(np.median(values)) for values in seconds.values()) * 1e6)
        axes.set_xlim(0.95 * float(every.min()), end)
        outside = 100.0 * float((every > end).mean())
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
        beyond = f" ({outside:.1f}% of the calls took longer than shown)" if outside else ""
        axes.set_xlabel(f"latency at batch 1, microseconds{beyond}")
        axes.set_ylabel("calls done within")
        _key(axes, {series: SERIES.get(series, MUTED) for series in seconds})
    return drawing.svg


def throughput(name: str, series: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Samples per second over batch sizes.

    Args:
        name: of the picture.
        series: batch size and samples a second, by series.
    """
    with _drawing(name, "Samples per second over batch sizes", 2.8) as drawing:
        axes = drawing.axes
        batches = sorted({batch for points in series.values() for batch, _ in points})
        width = 0.8 / max(1, len(series))
        for number, (label, points) in enumerate(series.items()):
            offset = (number - (len(series) - 1) / 2) * width
            places = [batches.index(batch) + offset for batch, _ in points]
            axes.bar(places, [rate for _, rate in points], 0.94 * width, color=SERIES.get(label, MUTED))
        axes.set_xticks(range(len(batches)), [str(batch) for batch in batches])
        axes.grid(visible=False, axis="x")
        axes.tick_params(axis="x", length=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("batch size")
        axes.set_ylabel("samples per second")
        _key(axes, {label: SERIES.get(label, MUTED) for label in series})
    return drawing.svg


def _bar(axes: Any, place: float, value: float, colour: str, end: float) -> None:
    """A bar from the floor to a value, in the colour of failure beyond 1; infinity reaches the end."""
    reach = min(max(value, FLOOR * 1.05), end)
    axes.barh(place, reach - FLOOR, 0.3, left=FLOOR, color=colour if value <= 1.0 else BAD)


def _key(axes: Any, colours: Mapping[str, str]) -> None:
    """What the colours mean, above the picture."""
    axes.legend(
        handles=[Patch(color=colour, label=label) for label, colour in colours.items()],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(colours),
        borderpad=0,
        handlelength=1,
        handleheight=1,
    )


def _decimal(value: float, _: object) -> str:
    return f"{value:g}"


def _short(text: str) -> str:
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= MAX_NAME else f"{clean[: MAX_NAME - 1]}…"


@dataclass
class _Drawing:
    """A picture in the making; ``svg`` is there when its block has ended."""

    axes: Any
    svg: str = ""


@contextmanager
def _drawing(name: str, title: str, height: float) -> Iterator[_Drawing]:
    """A picture of one pair of axes, ``height`` inches high."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        drawing = _Drawing(figure.add_subplot())
        yield drawing
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    drawing.svg = _inline(file.getvalue(), name, title)


def _inline(svg: str, name: str, title: str) -> str:
    """The SVG element alone: ids prefixed, colours named, no size of its own, a title for those who listen."""
    body = svg[svg.index("<svg") :]
    # matplotlib's own style sheet would hold for the whole page, which has these rules in its own.
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = body.replace("font-family: 'DejaVu Sans', sans-serif; ", "")
    for marker, variable in VARIABLES.items():
        body = body.replace(marker, variable)
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    if box is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    return f'<svg {box[0]} role="img" aria-label="{title}">{rest.replace("xlink:href", "href")}'.strip()
