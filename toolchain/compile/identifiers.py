"""Names of C from names of ONNX."""

from __future__ import annotations

import re

from toolchain.compile.names import unique
from toolchain.errors import UsageError

LIBRARY = frozenset(
    (
        *(
            "abs",
            "acos",
            "asin",
            "atan",
            "cbrt",
            "ceil",
            "copysign",
            "cos",
            "cosh",
            "erf",
            "erfc",
            "exp",
            "exp2",
            "expm1",
        ),
        *("fabs", "fdim", "floor", "fma", "fmax", "fmin", "fmod", "frexp", "gamma", "hypot", "index", "j0", "j1", "jn"),
        *(
            "ldexp",
            "lgamma",
            "log",
            "log10",
            "log2",
            "logb",
            "lrint",
            "lround",
            "memchr",
            "memcmp",
            "memcpy",
            "memmove",
        ),
        *("memset", "modf", "nan", "nearbyint", "pow", "remainder", "rint", "round", "scalb", "sin", "sinh", "sqrt"),
        *("strlen", "tan", "tanh", "tgamma", "trunc", "y0", "y1", "yn", "offsetof", "null", "infinity", "observe"),
    )
)
"""Of ``math.h``, ``string.h`` and ``stddef.h``, which the kernels include, and a macro of the generated file."""

KEYWORDS = LIBRARY | frozenset((
    "alignas", "alignof", "arena", "asm", "auto", "bool", "break", "case", "char", "class", "const", "constexpr",
    "continue", "default", "delete", "do", "double", "else", "enum", "extern", "false", "float", "for", "friend",
    "goto", "if", "inline", "int", "long", "main", "memory", "namespace", "new", "nullptr", "operator", "private",
    "protected", "public", "register", "restrict", "return", "scratch", "short", "signed", "sizeof", "static",
    "static_assert", "struct", "switch", "template", "this", "throw", "true", "try", "typedef", "typename", "union",
    "unsigned", "using", "virtual", "void", "volatile", "while",
))  # fmt: skip
"""Of C and C++, since the header serves both, and the names that the generated function uses itself."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
LONGEST = 48


def check(name: str) -> str:
    """A name that the user chose for the network.

    Raises:
        UsageError: it is no C identifier, is reserved, or begins like a kernel.
    """
    if not _PLAIN.fullmatch(name) or name.lower() in KEYWORDS or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} cannot be the prefix of C names: expected a letter followed by letters, digits and _, at most "
            f"{LONGEST} of them and no keyword; give another --name"
        )
    return name


def identifier(name: str, taken: set[str]) -> str:
    """A C identifier for any name, not in ``taken``; it is added there."""
    made = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:LONGEST] or "unnamed"
    if not made[0].isalpha() or made.lower() in KEYWORDS:
        made = f"t_{made}"
    return unique(made, taken)
