"""Every attack is answered as the list says: one clear line of the right kind, or a model that harms nobody."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from tests.border.attack import Attack
from tests.border.attacks import ATTACKS
from toolchain.errors import ToolchainError
from toolchain.load import load


def ids(attack: Attack) -> str:
    return f"{attack.group}: {attack.title}"


@pytest.mark.parametrize("attack", ATTACKS, ids=ids)
def test_an_attack_is_answered(attack: Attack, tmp_path: Path) -> None:
    path = attack.write(tmp_path / "folder")
    if attack.answer is None:
        assert isinstance(load(path), ir.Model)
        return
    with pytest.raises(ToolchainError) as caught:
        load(path)
    text = str(caught.value)
    assert type(caught.value) is attack.answer, text
    assert caught.value.exit_code == attack.answer.exit_code
    assert attack.word in text
    assert text.isprintable()
    assert len(text) < 1_000
    assert str(path) in text
