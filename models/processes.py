"""The processes of a training run, and the settings of PyTorch in each."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from models.errors import MissingDependencyError, UsageError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: 0..count - 1; process 0 writes the files.
        count: of processes.
        device: of this process.
    """

    rank: int
    count: int
    device: torch.device


@contextlib.contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did: over gloo on CPUs, NCCL on GPUs.

    Raises:
        UsageError: no such kind of device.
        MissingDependencyError: the device is not there.
    """
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device is {device!r}, expected cpu, cuda or cuda:N") from error
    if wanted.type not in ("cpu", "cuda"):
        raise UsageError(f"device is {device!r}, expected cpu, cuda or cuda:N")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise MissingDependencyError(
            f"no device {device}: PyTorch sees {torch.cuda.device_count()} CUDA devices; give --device cpu"
        )
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield Processes(0, 1, wanted)
        return
    if wanted.type == "cuda":
        wanted = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(wanted)
    # Its functions take the process group that exists when it is imported as their default, and keep it for good.
    # Imported afterwards (DistributedDataParallel does so), it would have gloo's threads outlive the group: one that
    # still holds a tensor while the interpreter ends aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    torch.distributed.init_process_group("nccl" if wanted.type == "cuda" else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), torch.distributed.get_world_size(), wanted)
    finally:
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def settings(threads: int | None) -> Iterator[None]:
    """Repeatable arithmetic and the wanted threads; the caller's settings and random state come back.

    Raises:
        UsageError: fewer than one thread.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}, expected 1 or more")
    before = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # cuBLAS is repeatable only with this, set before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
