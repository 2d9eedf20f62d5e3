"""Command that reads handwritten digits: ``python recognise.py --model lenet5.onnx IMAGE...``.

The work is in ``digit_recogniser/``; here only a missing package is turned into one clear line.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from digit_recogniser.cli import main
    except ImportError as error:
        sys.stderr.write(
            f"recognise: error: cannot import {error.name}: {error}; "
            "install what this app needs with: pip install -r requirements.txt\n"
        )
        sys.exit(3)
    sys.exit(main())
