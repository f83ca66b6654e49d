"""Each family's words in the config are those of its table."""

from typing import get_args

from jungle.config.groups import Data, Decoder
from jungle.config.heads import Head
from jungle.data.formats import FORMATS
from jungle.models.heads import HEADS
from jungle.video import reader
from jungle.video.types import DECODERS


def words(annotation: object) -> set[str]:
    return set(get_args(annotation))


def test_data_formats() -> None:
    assert words(Data.model_fields["format"].annotation) == FORMATS.keys()


def test_heads() -> None:
    members = get_args(get_args(Head)[0])
    assert set().union(*(words(m.model_fields["name"].annotation) for m in members)) == set(HEADS)


def test_decoders() -> None:
    assert (
        words(Decoder.model_fields["name"].annotation) == set(DECODERS) == {"auto", "pyav", *reader.DECODERS}
    )
