"""The attacker's list: files made to hurt whoever reads them, each with the answer to it."""

from tests.border.bombs import BOMBS
from tests.border.graphs import GRAPHS
from tests.border.slow import SLOW
from tests.border.tensors import BESIDE, PATHS, TENSORS
from tests.border.wire import WIRE

ATTACKS = tuple(attack for group in (WIRE, GRAPHS, TENSORS, BESIDE, BOMBS, SLOW, PATHS) for attack in group.attacks)
