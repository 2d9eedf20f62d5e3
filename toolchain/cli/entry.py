"""Where the command ``onnx-edge`` starts: Ctrl-C while the command line is being imported is one line too."""

from __future__ import annotations

import sys


def main() -> int:
    """Import the command line and run it; the exit code."""
    try:
        from toolchain.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("\nonnx-edge: interrupted; nothing half-written is left\n")
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
