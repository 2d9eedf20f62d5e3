"""How a backend is run, in the words of the command line."""

from __future__ import annotations

from dataclasses import dataclass

MARK = "finding.json"
"""The file that shows that a folder was written by ``verify --minimize``."""


@dataclass(frozen=True)
class Options:
    """How the backend runs; fields as the arguments of :func:`toolchain.verify.verify`."""

    backend: str = "ort-cpu"
    optimization: str = "all"
    threads: int | None = 1
    provider_options: tuple[tuple[str, str], ...] = ()
    exact_int8: bool = False

    def words(self) -> list[str]:
        """The same on the command line."""
        made = ["--backend", self.backend, "--optimization", self.optimization]
        made += ["--threads", str(self.threads)] if self.threads not in (None, 1) else []
        made += ["--no-tf32"] if ("use_tf32", "0") in self.provider_options else []
        return made + (["--exact-int8"] if self.exact_int8 else [])
