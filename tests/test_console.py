import pytest

from jungle.wording import tally


@pytest.mark.parametrize(
    ("count", "what", "said"),
    [
        (1, "clips", "1 clip"),
        (2, "clips", "2 clips"),
        (0, "classes", "0 classes"),
        (1, "classes", "1 class"),
        (1, "processes are running", "1 process is running"),
        (1, "clips of train have no label", "1 clip of train has no label"),
        (3, "GPUs", "3 GPUs"),
        (1, "GPUs", "1 GPU"),
    ],
)
def test_one_thing_is_in_the_singular(count: int, what: str, said: str) -> None:
    assert tally(count, what) == said
