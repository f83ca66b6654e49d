import pytest

from jungle.bench.cli import main
from jungle.errors import UsageError
from tests.conftest import ROOT


@pytest.mark.parametrize(("word", "script"), [("store", "feature_store"), ("heads", "heads")])
def test_a_moved_measurement_names_its_script(word: str, script: str) -> None:
    expected = (
        rf"^unknown: jungle bench {word}; use python benchmarks/{script}.py .*jungle bench decode, .*plan$"
    )
    with pytest.raises(UsageError, match=expected):
        main([word, "--out", "x"])
    assert (ROOT / "benchmarks" / f"{script}.py").is_file()
