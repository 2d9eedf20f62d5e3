"""Drawing Resize, Upsample and the exchange of depth and space."""

from __future__ import annotations

import numpy as np

from tests.graphs.hand import Hand

MODES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def resize(hand: Hand, x: str) -> str | None:
    """Resize of the spatial axes; Upsample before version 10."""
    shape = hand.sketch.shape(x)
    factors = [1.0, 1.0, *(hand.pick((1.0, 2.0, 0.5, 1.5, 3.0, 0.7)) for _ in shape[2:])]
    scales = [f if int(np.float32(f) * np.float32(d)) > 0 else 1.0 for f, d in zip(factors, shape, strict=True)]
    mode = hand.pick(("nearest", "linear") + (("cubic",) if len(shape) == 4 and hand.sketch.opset >= 11 else ()))
    if hand.sketch.opset < 11:
        larger = [max(1.0, f) for f in scales]
        if hand.sketch.opset < 9:
            return hand.sketch.add("Upsample", [x], mode=mode, scales=larger)
        op = "Upsample" if hand.sketch.opset < 10 else "Resize"
        return hand.sketch.add(op, [x, hand.sketch.constant(larger, np.float32)], mode=mode)
    roi = hand.sketch.constant(np.zeros(0, np.float32)) if hand.sketch.opset < 13 else None
    coordinates = hand.pick((None, *MODES, *(("half_pixel_symmetric",) if hand.sketch.opset >= 19 else ())))
    if hand.flip():
        sizes = [int(np.float32(f) * np.float32(d)) for f, d in zip(scales, shape, strict=True)]
        empty = hand.sketch.constant(np.zeros(0, np.float32)) if hand.sketch.opset < 13 else None
        inputs = [x, roi, empty, hand.sketch.constant(sizes, np.int64)]
    else:
        inputs = [x, roi, hand.sketch.constant(scales, np.float32)]
    return hand.sketch.add(
        "Resize",
        inputs,
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=hand.pick((None, *ROUNDINGS)) if mode == "nearest" else None,
        cubic_coeff_a=hand.pick((None, -0.5)) if mode == "cubic" else None,
        exclude_outside=hand.bit() if mode == "cubic" else None,
    )


def exchange(hand: Hand, x: str) -> str | None:
    """DepthToSpace or SpaceToDepth."""
    _, channels, *spatial = hand.sketch.shape(x)
    if len(spatial) != 2:
        return None
    if channels % 4 == 0:
        mode = hand.pick((None, "DCR", "CRD")) if hand.sketch.opset >= 11 else None
        return hand.sketch.add("DepthToSpace", [x], blocksize=2, mode=mode)
    if spatial[0] % 2 or spatial[1] % 2:
        return None
    return hand.sketch.add("SpaceToDepth", [x], blocksize=2)
