"""Measure the power of the verdicts on networks, in processes of their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import onnxruntime

from benchmarks.power.networks import FORMS, LARGE, NAMES, SEED, subject
from benchmarks.power.plant import Record, planted, unharmed, verified

KEEP = {"lenet5": 0.6, "example-cnn": 0.6, "alexnet": 0.2, "vgg16": 0.06, "probe": 0.6}
"""Share of the faults that are planted into each region, drawn at random: all of them would take too long."""

WHOLE = 0.3
"""Likewise, of the kinds of faults with which whole networks are verified."""

FIRST = ("vgg16", "alexnet", *(name for name in NAMES if name not in LARGE))
FATAL = 4
"""Of ONNX Runtime's levels: that it refuses a fault of a model is no news."""


def records(network: str, form: str, *, seed: int = SEED, share: float = 1.0) -> list[Record]:
    """Plant faults into one network.

    Args:
        network: one of ``NAMES``.
        form: float or int8.
        seed: of the weights, bits and faults that are drawn.
        share: of the faults that :data:`KEEP` and :data:`WHOLE` say.
    """
    made = subject(network, form)
    found = [*unharmed(made)]
    found += planted(made, seed, share * KEEP[network])
    if network not in LARGE:
        found += verified(made, seed, share * WHOLE)
    return found


def measured(
    networks: Sequence[str] = NAMES,
    forms: Sequence[str] = FORMS,
    *,
    jobs: int = 1,
    seed: int = SEED,
    share: float = 1.0,
) -> list[Record]:
    """Plant faults into several networks.

    Args:
        networks: of ``NAMES``.
        forms: float, int8.
        jobs: processes; each needs up to 8 GB for VGG16.
        seed: of what is drawn.
        share: of the faults that are planted otherwise.
    """
    # The large ones take longest, so they go first; one form after the other, so that two of VGG16 do not meet.
    tasks = sorted(itertools.product(networks, forms), key=lambda task: (FORMS.index(task[1]), FIRST.index(task[0])))
    if jobs == 1:
        return list(itertools.chain.from_iterable(_task((*task, seed, share)) for task in tasks))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        found: Iterable[list[Record]] = pool.map(_task, [(*task, seed, share) for task in tasks])
        return list(itertools.chain.from_iterable(found))


def _task(task: tuple[str, str, int, float]) -> list[Record]:
    network, form, seed, share = task
    onnxruntime.set_default_logger_severity(FATAL)
    return records(network, form, seed=seed, share=share)
