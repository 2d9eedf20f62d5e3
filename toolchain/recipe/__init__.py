"""A recipe: the TOML that describes a whole run and its budgets, and the two verbs that follow it."""

from toolchain.recipe.check import Check, check
from toolchain.recipe.run import Run, run
from toolchain.recipe.schema import Recipe, read

__all__ = ["Check", "Recipe", "Run", "check", "read", "run"]
