"""The seven animals of the sample: each a body, a coat and a gait."""

from jungle.sample.species.bird import bird
from jungle.sample.species.chimpanzee import chimpanzee
from jungle.sample.species.duiker import duiker
from jungle.sample.species.elephant import elephant
from jungle.sample.species.human import human
from jungle.sample.species.leopard import leopard
from jungle.sample.species.porcupine import porcupine

SPECIES = {
    animal.__name__: animal for animal in (bird, chimpanzee, duiker, elephant, human, leopard, porcupine)
}
__all__ = ["SPECIES"]
