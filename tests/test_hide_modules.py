import importlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from jungle.system import hide_modules


def test_a_module_seems_not_to_be_installed_within_the_block_alone() -> None:
    sys.modules.pop("this", None)
    with hide_modules("this", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("this")
        importlib.import_module("json")  # loaded already: whoever has it keeps it
    assert "this" not in sys.modules


def test_its_distribution_seems_not_to_be_installed_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with hide_modules("wandb"):
        with pytest.raises(PackageNotFoundError):
            version("wandb")
        assert version("torch")
    assert version("wandb")


def test_it_is_as_before_after_an_error() -> None:
    sys.modules.pop("antigravity", None)
    with pytest.raises(RuntimeError), hide_modules("antigravity"):
        raise RuntimeError
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("jungle", {"torch", "polars", "hydra", "pydantic", "av"}),
        ("jungle.commands.train", {"torch", "timm", "pytorch_lightning", "matplotlib", "wandb"}),
        ("jungle.commands.predict", {"torch", "timm", "matplotlib", "wandb", "altair"}),
        ("jungle.models.checkpoint", {"wandb", "tensorboard", "altair"}),
        (
            "jungle.models.large_libraries, jungle.training.run",
            {"wandb", "scipy", "matplotlib", "sklearn", "lightgbm", "pandas", "altair", "tensorboard"},
        ),
        (
            "jungle.models.large_libraries, jungle.models.checkpoint, jungle.prediction.fill",
            {"wandb", "scipy", "matplotlib", "sklearn", "lightgbm", "pandas", "altair", "hydra"},
        ),
    ],
)
def test_a_start_imports_only_what_it_uses(modules: str, absent: set[str]) -> None:
    """Seconds of every command: counted in modules, which do not depend on the machine."""
    code = f"import sys, {modules}; print(*(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    loaded = set(done.stdout.split())
    assert "jungle" in loaded
    assert not loaded & absent
