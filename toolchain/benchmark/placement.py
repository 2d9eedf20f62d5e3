"""Which provider ran which node, from ONNX Runtime's own profile."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from toolchain.data import Array
from toolchain.errors import FallbackError
from toolchain.session import PROVIDERS, Session, SessionOptions

NAMES = {full: name for name, full in PROVIDERS.items()}


@dataclass(frozen=True)
class NodePlace:
    """A node of the graph that runs, and where.

    Attributes:
        node: its name after the runtime's optimisation.
        op_type: its operator after fusion.
        provider: our name of the provider, or the runtime's where we have none.
    """

    node: str
    op_type: str
    provider: str


def placement(model: ir.Model | bytes, options: SessionOptions, feeds: Mapping[str, Array]) -> tuple[NodePlace, ...]:
    """Run once under the runtime's profiler.

    Args:
        model: the model.
        options: as it will be timed.
        feeds: inputs of one call.
    """
    with tempfile.TemporaryDirectory() as folder:
        profiled = replace(options, profile=Path(folder) / "profile")
        session = Session(model, profiled)
        session.run(feeds)
        text = Path(session.native.end_profiling()).read_text(encoding="utf-8")
    return read_profile(text)


def read_profile(text: str) -> tuple[NodePlace, ...]:
    """The nodes of a profile in the order in which they first ran.

    Args:
        text: the JSON that ONNX Runtime's profiler writes.
    """
    found: dict[str, NodePlace] = {}
    for event in json.loads(text):
        facts = event.get("args", {})
        if event.get("cat") != "Node" or "provider" not in facts:
            continue
        node = str(event["name"]).removesuffix("_kernel_time")
        provider = str(facts["provider"])
        found.setdefault(node, NodePlace(node, str(facts["op_name"]), NAMES.get(provider, provider)))
    return tuple(found.values())


def check_placement(places: tuple[NodePlace, ...], provider: str, *, allow_fallback: bool) -> None:
    """Refuse a run in which the requested provider did not run every node.

    Args:
        places: from :func:`placement`.
        provider: the one asked for.
        allow_fallback: other providers may run some nodes, if the requested one runs any.

    Raises:
        FallbackError: names the first node elsewhere, and how many there are.
    """
    elsewhere = [place for place in places if place.provider != provider]
    if places and len(elsewhere) == len(places):
        raise FallbackError(
            f"provider {provider!r} ran none of the {len(places)} nodes (all on "
            f"{', '.join(sorted({place.provider for place in elsewhere}))}); choose another provider"
        )
    if elsewhere and not allow_fallback:
        first = elsewhere[0]
        raise FallbackError(
            f"provider {provider!r} did not run {len(elsewhere)} of {len(places)} nodes; the first is "
            f"{first.node!r} ({first.op_type}), run by {first.provider}; give --allow-fallback to accept it"
        )


def count(places: tuple[NodePlace, ...]) -> dict[str, int]:
    """Nodes by provider."""
    return dict(sorted(Counter(place.provider for place in places).items()))
