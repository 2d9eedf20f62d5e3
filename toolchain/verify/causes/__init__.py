"""Hypotheses on why a region's tensor is wrong, one family a file.

Every family is a function ``hypotheses(case)`` that recomputes the region with one thing changed (an attribute, a
weight, a rounding) and yields what it then gives. :mod:`toolchain.verify.cause` compares these with what the backend
gave.
"""
