"""Attacks on whatever walks, expands or runs the graph."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

from tests.border.attack import FLOAT, Group, model, value, weight
from toolchain.errors import FileError, UnsupportedError
from toolchain.guard import MAX_DEPTH

GRAPHS = Group("the graph")
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
node = helper.make_node
Made = onnx.ModelProto


def doubling(levels: int, body: list[onnx.NodeProto] | None = None) -> Made:
    """Functions of which each calls the one before twice."""
    functions = []
    for level in range(levels):
        inner, domain = (f"f{level - 1}", "local") if level else ("Relu", "")
        twice = [node(inner, ["a"], ["b"], domain=domain), node(inner, ["b"], ["c"], domain=domain)]
        nodes = body if body and not level else twice
        functions.append(helper.make_function("local", f"f{level}", ["a"], ["c"], nodes, OPSETS))
    return model([node(f"f{levels - 1}", ["x"], ["y"], domain="local")], functions=functions)


def wide(levels: int, calls: int) -> Made:
    """Functions of which each calls the one before many times."""
    functions = []
    for level in range(levels):
        inner, domain = (f"f{level - 1}", "local") if level else ("Relu", "")
        nodes = [node(inner, ["a"], ["c" if i == calls - 1 else f"b{i}"], domain=domain) for i in range(calls)]
        functions.append(helper.make_function("local", f"f{level}", ["a"], ["c"], nodes, OPSETS))
    return model([node(f"f{levels - 1}", ["x"], ["y"], domain="local")], functions=functions)


def heavy_function() -> Made:
    """Twelve doublings of a function with a megabyte of weights."""
    constant = helper.make_tensor("k", FLOAT, [1, 250_000], bytes(10**6), raw=True)
    return doubling(7, [node("Constant", [], ["k"], value=constant), node("Add", ["a", "k"], ["c"])])


def listing_function() -> Made:
    """Doublings of a function with a long list of numbers."""
    return doubling(8, [node("Constant", [], ["k"], value_ints=[1] * 5000), node("Add", ["a", "k"], ["c"])])


def cycle(length: int) -> Made:
    """Functions that call one another in a ring."""
    functions = [
        helper.make_function(
            "local", f"f{i}", ["a"], ["c"], [node(f"f{(i + 1) % length}", ["a"], ["c"], domain="local")], OPSETS
        )
        for i in range(length)
    ]
    return model([node("f0", ["x"], ["y"], domain="local")], functions=functions)


def branches(graph: onnx.GraphProto) -> onnx.NodeProto:
    """An If with the same graph on either side."""
    return node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)


def nested(depth: int) -> Made:
    """Ifs within Ifs."""
    graph = helper.make_graph([node("Relu", ["x"], ["b"])], "g", [], [value("b", 2)])
    for _ in range(depth):
        # One branch each: with two, the file would grow twofold at each level.
        inner = node("If", ["x"], ["b"], then_branch=graph)
        graph = helper.make_graph([inner], "g", [], [value("b", 2)])
    return model(list(graph.node))


def two_values() -> onnx.TensorProto:
    """A tensor that holds its value twice."""
    return weight(raw_data=bytes(8), float_data=[1.0, 2.0])


def hidden_in_graph(tensor: onnx.TensorProto) -> Made:
    """A weight of a graph within a node."""
    graph = helper.make_graph([node("Identity", ["w"], ["b"])], "then", [], [value("b", 2)], [tensor])
    return model([branches(graph)])


def subgraph_that_hides(name: str) -> Made:
    """A graph in a node that computes a name which the outer graph has."""
    graph = helper.make_graph([node("Neg", ["x"], [name])], "then", [], [value(name, 2)])
    return model([branches(graph)])


def function_over_onnx(domain: str) -> Made:
    """A local Relu that negates."""
    body = [node("Neg", ["a"], ["c"])]
    return model(functions=[helper.make_function(domain, "Relu", ["a"], ["c"], body, OPSETS[:1])])


def edited(change: object) -> Made:
    """The plain model, changed."""
    proto = model()
    change(proto)  # type: ignore[operator]
    return proto


GRAPHS.unsafe("functions that call each other twice, 16 levels", "once its local", lambda _: doubling(16))
GRAPHS.unsafe("the same with 40 levels", "once its local", lambda _: doubling(40))
GRAPHS.unsafe("the same with 190 levels", "more than 1e+15", lambda _: doubling(190))
GRAPHS.unsafe("functions that call each other 30 times, 20 levels", "once its local", lambda _: wide(20, 30))
GRAPHS.unsafe("weights copied by expansion", "bytes of tensors", lambda _: heavy_function())
GRAPHS.unsafe("lists of numbers copied by expansion", "fields of all messages", lambda _: listing_function())
GRAPHS.unsafe("a function that calls itself", "calls itself", lambda _: cycle(1))
GRAPHS.unsafe("150 functions in a ring", "calls itself", lambda _: cycle(150))
GRAPHS.unsafe("900 functions", "local functions", lambda _: cycle(900))
GRAPHS.unsafe(
    "a function called twice under one name",
    "twice",
    lambda _: edited(lambda m: m.functions.extend([doubling(1).functions[0]] * 2)),
)
GRAPHS.unsafe("a function over an operator of ONNX", "Relu", lambda _: function_over_onnx(""))
GRAPHS.unsafe("the same under ONNX's other name", "Relu", lambda _: function_over_onnx("ai.onnx"))
GRAPHS.unsafe("graphs within graphs, 9 deep", "nests", lambda _: nested(MAX_DEPTH + 1))
GRAPHS.unsafe("the same, 25 deep", "nests messages", lambda _: nested(25))
GRAPHS.unsafe(
    "150 graphs in one attribute",
    "graphs within nodes",
    lambda _: model([node("Loop", ["x"], ["y"], body=[onnx.GraphProto()] * 150)]),
)
GRAPHS.unsafe("a value in a graph within a node stated twice", "raw_data", lambda _: hidden_in_graph(two_values()))
GRAPHS.broken("a graph that hides an outer name", "x", lambda _: subgraph_that_hides("x"))
GRAPHS.broken(
    "a cycle",
    "b",
    lambda _: model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]),
)
GRAPHS.broken("a node that reads its own output", "y", lambda _: model([node("Relu", ["y"], ["y"])]))
GRAPHS.broken(
    "nodes out of order", "topolog", lambda _: model([node("Relu", ["a"], ["y"]), node("Relu", ["x"], ["a"])])
)
GRAPHS.broken("a name that nothing defines", "nothing", lambda _: model([node("Relu", ["nothing"], ["y"])]))
GRAPHS.broken("an output that nothing computes", "y", lambda _: model([]))
GRAPHS.broken("two nodes that compute one name", "y", lambda _: model([node("Relu", ["x"], ["y"])] * 2))
GRAPHS.broken(
    "a node that computes a weight's name",
    "w",
    lambda _: model([node("Relu", ["x"], ["w"]), node("Relu", ["w"], ["y"])], [weight(raw_data=bytes(8))]),
)
GRAPHS.broken(
    "a node that computes an input's name",
    "x",
    lambda _: model([node("Neg", ["x"], ["x"]), node("Relu", ["x"], ["y"])]),
)
GRAPHS.unsafe("two inputs of one name", "twice", lambda _: model(inputs=[value("x", 2), value("x", 3)]))
GRAPHS.unsafe("two outputs of one name", "twice", lambda _: edited(lambda m: m.graph.output.append(value("y", 9))))
GRAPHS.unsafe(
    "two weights of one name",
    "twice",
    lambda _: model([node("Add", ["x", "w"], ["y"])], [weight(raw_data=bytes(8)), weight(raw_data=b"\1" * 8)]),
)
GRAPHS.unsafe(
    "one attribute twice",
    "'alpha' twice",
    lambda _: edited(
        lambda m: m.graph.node[0].attribute.extend([helper.make_attribute("alpha", a) for a in (1.0, 2.0)])
    ),
)
GRAPHS.unsafe(
    "one operator set in two versions",
    "operator set",
    lambda _: edited(lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx", 13))),
)
GRAPHS.unsafe(
    "one entry of metadata in two versions",
    "metadata",
    lambda _: edited(lambda m: [m.metadata_props.add(key="onnx_edge.labels", value=v) for v in "ab"]),
)
GRAPHS.broken(
    "an operator that does not exist", "NoSuchOperator", lambda _: model([node("NoSuchOperator", ["x"], ["y"])])
)
GRAPHS.broken(
    "an attribute that holds more than its type says",
    "alpha",
    lambda _: edited(lambda m: m.graph.node[0].attribute.add(name="alpha", type=1, f=1.0).t.CopyFrom(two_values())),
)
GRAPHS.broken(
    "an attribute without a type",
    "'type'",
    lambda _: edited(lambda m: m.graph.node[0].attribute.add(name="alpha", f=1.0)),
)
GRAPHS.broken(
    "an attribute that refers to a function's, outside of one",
    "alpha",
    lambda _: edited(lambda m: m.graph.node[0].attribute.add(name="alpha", type=1, ref_attr_name="beta")),
)
GRAPHS.add(
    "opset 2^62",
    UnsupportedError,
    "needs opset",
    lambda _: edited(lambda m: setattr(m.opset_import[0], "version", 2**62)),
)
GRAPHS.add(
    "opset 0", UnsupportedError, "needs opset", lambda _: edited(lambda m: setattr(m.opset_import[0], "version", 0))
)
GRAPHS.add(
    "opset -1 of another domain",
    UnsupportedError,
    "needs opset",
    lambda _: edited(lambda m: setattr(m.opset_import[1], "version", -1)),
)
GRAPHS.add("IR version 99", UnsupportedError, "IR version", lambda _: edited(lambda m: setattr(m, "ir_version", 99)))
GRAPHS.add("IR version -1", FileError, "no valid", lambda _: edited(lambda m: setattr(m, "ir_version", -1)))
GRAPHS.add(
    "graphs for training, with a value stated twice",
    UnsupportedError,
    "training",
    lambda _: edited(lambda m: m.training_info.add().algorithm.initializer.append(two_values())),
)
GRAPHS.unsafe("a megabyte of nodes", "nodes", lambda _: model([node("Relu", ["x"], [str(i)]) for i in range(3_000)]))
GRAPHS.unsafe(
    "an outsized graph of few bytes a node",
    "parts",
    lambda _: model([node("Split", ["x"], [f"{i}.{j}" for j in range(5)]) for i in range(700)]),
)
GRAPHS.unsafe("types with 1,000 dimensions", "dimensions", lambda _: model(inputs=[value("x", *[1] * 1000)]))


def _path_of(_: Path) -> Made:
    """A name that looks like a path: names are names, and nothing is opened by them."""
    return model([node("Relu", ["x"], ["y"], name="../../etc/passwd")])


GRAPHS.harmless("names that look like paths", _path_of)
