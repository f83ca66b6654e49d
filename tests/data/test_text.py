import unicodedata

import pytest

from jungle.data.text import (
    clean_name,
    clean_text,
    fold_text,
    is_ambiguous,
    is_blank,
    is_missing,
    match_names,
)

NFD = unicodedata.normalize("NFD", "écureuil")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (" lion\t", "lion"),
        ("\u200blion\ufeff", "lion"),
        ("\u00a0lion\u00a0\u200b ", "lion"),
        ("\u202alion", "lion"),
        (NFD, "écureuil"),
        ("red  fox", "red  fox"),
        ("\u200b", ""),
    ],
)
def test_text_is_composed_and_trimmed(text, clean):
    assert clean_text(text) == clean
    assert clean_name(text) == clean


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("red\u00a0fox", "red fox"),
        ("leo\u200bpard", "leopard"),
        ('"lion"', "lion"),
        ("'lion'", "lion"),
        ("«lion»", "lion"),
        ("Grevy's zebra", "Grevy's zebra"),
        ("'a' or 'b'", "'a' or 'b'"),
        ("lion\r\nhog", "lion\nhog"),
        ("می\u200cخورد", "می\u200cخورد"),
    ],
)
def test_a_name_is_what_it_looks_like(text, name):
    assert clean_name(text) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("red fox", "Red_Fox"),
        ("red fox", "redfox"),
        ("red  fox", "red-fox"),
        ("écureuil", NFD),
        ("écureuil", "ecureuil"),
        ("leopard", "leo\u200dpard"),
        ("leopard", "leopаrd"),
        ("leopard", "leopard?"),
        ("Côte d’Ivoire", "côte d'ivoire"),
        ("cam–1", "CAM-1"),
        ("ｌｅｏｐａｒｄ", "leopard"),
        ("straße", "STRASSE"),
    ],
)
def test_what_few_readers_tell_apart_folds_alike(one, other):
    assert fold_text(one) == fold_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("S1-12", "S11-2"),
        ("leopard", "leopards"),
        ("other (primate)", "other (non-primate)"),
        ("कि", "के"),
        ("a1", "a2"),
        ("?", "."),
    ],
)
def test_what_readers_tell_apart_stays_apart(one, other):
    assert fold_text(one) != fold_text(other)


def test_words_for_nothing():
    assert all(map(is_missing, ["NA", "n/a", "#N/A", "#NV", "NaN", "null", "NULL", "None", "<NA>", "#WERT!"]))
    assert not any(map(is_missing, ["none", "Nana", "lion", "-", "N"]))
    assert all(map(is_ambiguous, ["none", "NONE", "nil", "-", "--", "?", "."]))
    assert not any(map(is_ambiguous, ["None", "NA", "lion"]))
    assert all(map(is_blank, ["Blank", "EMPTY", "vacio", "none"]))
    assert all(
        map(is_blank, ["Leer", "vuoto", "leeg", "tom", "Kein Tier", "false_trigger", "пусто", "vacía"])
    )
    assert not any(map(is_blank, ["lion", "tome", "tomcat", "leerdam", "nada1"]))


def test_names_are_found_exactly_else_as_the_only_one_that_fits():
    found = match_names(
        ["lion", "LION", NFD, "Red Fox", "ox", "gone"], ["lion", "écureuil", "red fox", "OX", "Ox"]
    )
    assert found.known == {"lion": "lion", "LION": "lion", NFD: "écureuil", "Red Fox": "red fox"}
    assert found.ambiguous == {"ox": ("OX", "Ox")}
    assert found.unknown == ("gone",)
    assert found.guessed == {"LION": "lion", NFD: "écureuil", "Red Fox": "red fox"}
