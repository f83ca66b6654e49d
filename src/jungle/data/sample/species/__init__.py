"""The seven animals of the sample: each a body, a coat and a gait."""

from jungle.data.sample.species.bird import bird
from jungle.data.sample.species.chimpanzee import chimpanzee
from jungle.data.sample.species.duiker import duiker
from jungle.data.sample.species.elephant import elephant
from jungle.data.sample.species.human import human
from jungle.data.sample.species.leopard import leopard
from jungle.data.sample.species.porcupine import porcupine

SPECIES = {
    animal.__name__: animal for animal in (bird, chimpanzee, duiker, elephant, human, leopard, porcupine)
}
__all__ = ["SPECIES"]
