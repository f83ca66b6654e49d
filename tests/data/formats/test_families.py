from typing import get_args

from jungle.config.groups import Data
from jungle.data.formats import FORMATS


def test_the_config_takes_the_words_of_the_table() -> None:
    assert set(get_args(Data.model_fields["format"].annotation)) == FORMATS.keys()
