"""How long work says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A callable told after each step; long work takes one as ``progress``, or ``None``.

    Called from the thread that works. It may raise :class:`KeyboardInterrupt`; nothing else.
    """

    def __call__(self, done: int, total: int, what: str) -> None:
        """Tell how far the work is.

        Args:
            done: steps finished, 0 to ``total``.
            total: steps in all; it may change between calls, where it is not known from the start.
            what: what is being done, a few words; another text starts another bar.
        """


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
