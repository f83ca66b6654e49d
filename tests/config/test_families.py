"""Each family's words in the config are those of its table."""

from typing import get_args

from jungle.config.export import ExportFormat, ExportOptions
from jungle.config.groups import Data, Decoder
from jungle.config.heads import Head
from jungle.data.formats import FORMATS
from jungle.export import EXPORTERS, ExportSettings
from jungle.models.heads import HEADS
from jungle.video.reader import DECODER_MODULES
from jungle.video.types import DECODERS


def words(annotation: object) -> set[str]:
    return set(get_args(annotation))


def test_data_formats() -> None:
    assert words(Data.model_fields["format"].annotation) == FORMATS.keys()


def test_heads() -> None:
    members = get_args(get_args(Head)[0])
    assert set().union(*(words(m.model_fields["name"].annotation) for m in members)) == set(HEADS)


def test_exports() -> None:
    assert words(ExportFormat) == EXPORTERS.keys()
    assert ExportOptions.model_fields.keys() < set(ExportSettings.__slots__)


def test_decoders() -> None:
    assert words(Decoder.model_fields["name"].annotation) == set(DECODERS)
    assert set(DECODERS) == {"auto", "pyav", *DECODER_MODULES}
