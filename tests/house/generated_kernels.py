"""The table of operators that ``compile`` writes as C: where a kernel takes integers, where floats."""

from __future__ import annotations

from collections import defaultdict

from toolchain.compile.kernels import lowerings

REMARKS = {
    "Add": "int8: two tensors, or a constant that is one value or one a channel",
    "BatchNormalization": "goes into the Conv before it; alone, int8 through a table a channel",
    "Clip": "built into what is before it",
    "Conv": "one or two spatial axes; groups, dilations, any padding",
    "ConvTranspose": "one or two spatial axes; groups, dilations, any padding",
    "Gather": "constant indices",
    "Gemm": "constant matrix; int8 with alpha and beta 1",
    "LRN": "int8 by thresholds on the sum of squares",
    "MatMul": "constant matrix; in float also two computed ones",
    "MaxPool": "without indices",
    "Mul": "int8: two tensors, or a constant that is one value or one a channel",
    "Pad": "constant, reflect, edge and wrap, of constant widths",
    "PRelu": "int8 through a table a channel",
    "ReduceMax": "int8 over height and width",
    "ReduceMean": "int8 over height and width",
    "Resize": "int8 nearest; float also linear and cubic; not tf_crop_and_resize",
    "Softmax": "any axis; int8 by sums of exponentials to 128 binary digits",
    "Sub": "int8: two tensors, or a constant that is one value or one a channel",
    "Upsample": "as Resize",
}
REWRITTEN = {
    "Split": "a Slice for each part",
    "Sum": "a chain of Add",
    "Constant, Shape and what is computed from shapes": "constants",
}


def table() -> str:
    """Markdown: operator, int8, float, what to know."""
    rows = ["| operator | int8 | float | |", "|---|:-:|:-:|---|"]
    alike: dict[tuple[bool, bool, str], list[str]] = defaultdict(list)
    for name, lowering in sorted(lowerings().items()):
        alike[lowering.integer is not None, lowering.real is not None, REMARKS.get(name, "")].append(name)
    for (integer, real, remark), names in sorted(alike.items(), key=lambda item: item[1]):
        marks = " | ".join("yes" if has else "" for has in (integer, real))
        rows.append(f"| {', '.join(names)} | {marks} | {remark} |")
    rows += [f"| {names} | yes | yes | rewritten: {what} |" for names, what in REWRITTEN.items()]
    return "\n".join(rows)
