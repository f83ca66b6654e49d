"""What a class is of: an animal, a person, a vehicle, nothing, or something unknown."""

from typing import Literal

from jungle.data.text import fold_text, is_blank

Category = Literal["animal", "human", "vehicle", "blank", "unknown"]

# fmt: off
_WORDS: dict[Category, tuple[str, ...]] = {
    "human": (
        "human", "humans", "person", "persons", "people", "homo", "homo sapiens", "man", "mensch", "menschen",
        "personne", "personnes", "humain", "humano", "humanos", "persona", "personas", "pessoa", "pessoas",
        "umano", "mens", "mensen", "hiker", "hunter", "researcher", "ranger",
    ),
    "vehicle": (
        "vehicle", "vehicles", "car", "cars", "truck", "trucks", "motorcycle", "motorbike", "fahrzeug",
        "fahrzeuge", "auto", "véhicule", "voiture", "vehículo", "coche", "veículo", "carro", "veicolo",
        "voertuig",
    ),
    "unknown": ("unknown", "unidentified", "unidentifiable", "unbekannt", "inconnu", "desconocido", "other"),
}
# fmt: on
_CATEGORIES: dict[str, Category] = {
    fold_text(word): category for category, words in _WORDS.items() for word in words
}


def find_category(name: str) -> Category:
    """Return what a class is of, by its name; a word that is not known is an animal."""
    return "blank" if is_blank(name) else _CATEGORIES.get(fold_text(name), "animal")
