"""Verdicts as assertions: the fixture ``onnx_edge`` of pytest.

    def test_the_export_is_the_network(onnx_edge):
        onnx_edge.assert_exported(MyNet(), "mynet.onnx", synthetic=4)

    def test_the_runtime_computes_it(onnx_edge):
        onnx_edge.assert_certified("mynet.onnx", data="mnist:test:16")

    def test_the_optimiser_kept_its_meaning(onnx_edge):
        onnx_edge.assert_equivalent("mynet.onnx", "mynet-optimised.onnx", data={"image": pictures})

pytest imports this module in every run wherever the package is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

import pytest

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnx_ir as ir
    from numpy.typing import NDArray

    from toolchain.agree import OutputAgreement
    from toolchain.data import Samples
    from toolchain.equivalence import Equivalence
    from toolchain.verify import Verification

    Model: TypeAlias = Path | str | bytes | onnx.ModelProto | ir.Model
    Array: TypeAlias = NDArray[np.generic]
    Data: TypeAlias = str | Path | Array | Sequence[Array] | Mapping[str, Array]

ARRAYS = "arrays of the test"
P = ParamSpec("P")
R = TypeVar("R")


def _judging(assertion: Callable[P, R]) -> Callable[P, R]:
    """Turn what keeps a verdict from being found into a failure of one line; other errors are ours, and escape."""

    @wraps(assertion)
    def judged(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        from models.errors import ModelsError
        from toolchain.errors import ToolchainError

        try:
            return assertion(*args, **kwargs)
        except (ToolchainError, ModelsError) as error:
            problem = " ".join(str(error).split())
        # Raised here, not above: pytest would print the cause's frames as well.
        pytest.fail(f"onnx-edge could not judge: {problem}")

    return judged


class OnnxEdge:
    """Judges models, and fails the test with the report.

    A model is a path, the bytes of a file, an ``onnx.ModelProto`` or an ``onnx_ir.Model``. ``data`` is what
    ``--data`` takes (``NAME:SPLIT[:COUNT]``, a folder, an ``.npz``), an array [N, ...] for the only input, a
    sequence of them for all inputs, or a mapping from input names; ``synthetic=N`` draws N seeded random samples
    instead. One of the two must be given. What cannot be judged at all (a missing file, an unknown operator, data
    of another shape) fails the test with one line: never a pass, never a skip.
    """

    @_judging
    def assert_certified(
        self,
        model: Model,
        *,
        data: Data | None = None,
        synthetic: int | None = None,
        seed: int = 0,
        optimization: str = "all",
        backend: str = "ort-cpu",
        strict: bool = False,
        **options: Any,
    ) -> Verification:
        """The backend computes every node of the model within its sound limit.

        Args:
            model: the model.
            data: samples.
            synthetic: number of random samples in place of ``data``.
            seed: of the random samples.
            optimization: how far the runtime may optimise its graph: off, basic, extended or all.
            backend: what is judged: ``ort-cpu``, ``ort-cuda``, ...
            strict: a suspicion (beyond the probable limit) fails too.
            options: further options of :func:`toolchain.verify`, such as ``exact_int8``.

        Returns:
            The certificate.
        """
        __tracebackhide__ = True
        from toolchain import plain
        from toolchain.verify import verify

        loaded, name = _loaded(model)
        with _spec(loaded, data, synthetic) as (spec, shown):
            found = verify(
                loaded,
                data=spec,
                synthetic=synthetic,
                seed=seed,
                optimization=optimization,
                backend=backend,
                **options,
            )
        found = replace(found, model=name, data=shown or found.data)
        if not found.ok or (strict and found.suspects):
            pytest.fail(plain.certificate(found))
        return found

    @_judging
    def assert_equivalent(
        self,
        model: Model,
        other: Model,
        *,
        data: Data | None = None,
        synthetic: int | None = None,
        seed: int = 0,
        match: str = "auto",
        optimization: str = "all",
        backend: str = "ort-cpu",
        **options: Any,
    ) -> Equivalence:
        """Two ONNX models mean the same, and the backend computes the second so.

        Args:
            model: what is meant.
            other: judged by it.
            data: samples for ``model``.
            synthetic: number of random samples in place of ``data``.
            seed: of the random samples.
            match: ``names`` judges every tensor of ``other`` by the nodes of ``model`` and names the node; it needs
                names of inner tensors that both models use for the same. ``outputs`` judges each model on its own
                and compares outputs by position. ``auto`` takes names where inner ones are shared.
            optimization: how far the runtime may optimise its graph.
            backend: what is judged.
            options: further options of :func:`toolchain.verify`.

        Returns:
            The verdict, with both sides' figures.
        """
        __tracebackhide__ = True
        from toolchain import plain
        from toolchain.equivalence import equivalent

        (meant, name), (judged, other_name) = _loaded(model), _loaded(other)
        given = _samples(meant, data, synthetic, seed)
        found = equivalent(
            meant,
            judged,
            given,
            match=match,
            names=(name, other_name),
            optimization=optimization,
            backend=backend,
            **options,
        )
        shown = tuple(replace(v, data=given.name) for v in found.verifications)
        found = replace(found, verifications=shown)
        if not found.ok:
            pytest.fail(plain.equivalence(found))
        return found

    @_judging
    def assert_exported(
        self,
        module: Any,
        model: Model,
        *,
        data: Data | None = None,
        synthetic: int | None = None,
        seed: int = 0,
    ) -> tuple[OutputAgreement, ...]:
        """An ONNX model means what a PyTorch module means.

        The module runs in float64, the model in the interpreter; how they may differ is measured by a float32 run
        of the module. No runtime takes part: :meth:`assert_certified` judges that.

        Args:
            module: a ``torch.nn.Module``; a copy is judged, in evaluation mode, on the CPU. The model's inputs are
                its arguments, in order; the tensors of its result are the model's outputs, in order.
            model: the exported model.
            data: samples for the model's inputs.
            synthetic: number of random samples in place of ``data``.
            seed: of the random samples.

        Returns:
            How far each output is from the module's.
        """
        __tracebackhide__ = True
        from toolchain import plain
        from toolchain.data import batch_of
        from toolchain.errors import UsageError
        from toolchain.module import agreements, parting_of

        if not hasattr(module, "named_modules"):
            raise UsageError(f"the module is {type(module).__name__}; expected a torch.nn.Module")
        graph, name = _loaded(model)
        given = _samples(graph, data, synthetic, seed)
        found = agreements(module, graph, given)
        size = batch_of(graph) or 1
        failed = not found or not all(output.ok for output in found)
        parting = parting_of(module, graph, next(given.batches(size, fixed=True))[1]) if failed else None
        if failed:
            pytest.fail(plain.agreement(type(module).__name__, name, found, parting))
        return found


@pytest.fixture(scope="session")
def onnx_edge() -> OnnxEdge:
    """Judges ONNX models: assert_certified, assert_equivalent, assert_exported."""
    return OnnxEdge()


def _loaded(model: Model) -> tuple[ir.Model, str]:
    """Any form of a model, through the one door; and how messages call it."""
    import onnx
    import onnx_ir as ir

    from toolchain.errors import UsageError
    from toolchain.load import load, read
    from toolchain.session import serialized

    if isinstance(model, Path | str):
        return load(model), str(model)
    if isinstance(model, bytes):
        return read(model, "the given bytes"), "the given bytes"
    if isinstance(model, onnx.ModelProto):
        name = model.graph.name or "the given model"
        return read(model.SerializeToString(), name), name
    if isinstance(model, ir.Model):
        name = model.graph.name or "the given model"
        return read(serialized(model), name), name
    raise UsageError(
        f"a model is {type(model).__name__}; expected a path, bytes, an onnx.ModelProto or an onnx_ir.Model"
    )


def _samples(model: ir.Model, data: Data | None, synthetic: int | None, seed: int) -> Samples:
    from toolchain.data import samples

    with _spec(model, data, synthetic) as (spec, shown):
        given = samples(model, spec, synthetic=synthetic, seed=seed)
    return replace(given, name=shown or given.name)


@contextmanager
def _spec(model: ir.Model, data: Data | None, synthetic: int | None) -> Iterator[tuple[str | None, str]]:
    """What ``verify`` takes as data, and how messages call it if that is not its name."""
    import tempfile

    from toolchain.equivalence import write_npz
    from toolchain.errors import UsageError

    if (data is None) == (synthetic is None):
        raise UsageError("give either data=... (a name, a path or arrays) or synthetic=N, the number of random samples")
    if data is None or isinstance(data, Path | str):
        yield (None if data is None else str(data)), ""
        return
    with tempfile.TemporaryDirectory(prefix="onnx-edge-") as folder:
        path = Path(folder) / "arrays.npz"
        write_npz(path, _arrays(model, data))
        yield str(path), ARRAYS


def _arrays(model: ir.Model, data: Any) -> dict[str, Array]:
    """Arrays by input name; floating-point ones in the input's type, as NumPy's own default is float64."""
    import numpy as np

    from toolchain.data import graph_inputs
    from toolchain.errors import ShapeError

    inputs = graph_inputs(model)
    names = [value.name or "" for value in inputs]
    if isinstance(data, Mapping):
        if set(data) != set(names):
            raise ShapeError(f"data has the names {sorted(map(str, data))}; expected the model's inputs {names}")
        given = dict(data)
    else:
        arrays = [data] if isinstance(data, np.ndarray) else list(data)
        if len(arrays) != len(names):
            raise ShapeError(f"data has {len(arrays)} arrays; expected one for each of the model's inputs {names}")
        given = dict(zip(names, arrays, strict=True))
    made = {}
    for value in inputs:
        array = np.asarray(given[value.name or ""])
        wanted = array.dtype if value.dtype is None else value.dtype.numpy()
        floats = array.dtype.kind == "f" and np.dtype(wanted).kind == "f"
        made[value.name or ""] = array.astype(wanted) if floats else array
    return made
