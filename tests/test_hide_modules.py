import importlib
import sys

import pytest

from jungle.system import hide_modules


def test_a_module_seems_not_to_be_installed_within_the_block_alone() -> None:
    sys.modules.pop("this", None)
    with hide_modules("this", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("this")
        importlib.import_module("json")  # loaded already: whoever has it keeps it
    assert "this" not in sys.modules


def test_it_is_as_before_after_an_error() -> None:
    sys.modules.pop("antigravity", None)
    with pytest.raises(RuntimeError), hide_modules("antigravity"):
        raise RuntimeError
    assert "antigravity" not in sys.modules
