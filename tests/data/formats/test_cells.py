import pytest

from jungle.data.formats.cells import read_cells

PLAIN = ["leopard", "hog", "blank"]


@pytest.mark.parametrize(
    "cell",
    [
        *("leopard; hog", "leopard;hog", "leopard | hog", "leopard, hog", "leopard/hog", "leopard + hog"),
        *(
            "leopard & hog",
            "leopard and hog",
            "leopard und hog",
            "leopard - hog",
            "leopard\nhog",
            "leopard；hog",
        ),
        *("['leopard', 'hog']", '["leopard", "hog"]', "['leopard' 'hog']", "{leopard,hog}", "(leopard, hog)"),
        *("[leopard; hog]", "leopard;; hog;", "leopard; hog; NA", "leopard; hog; leopard"),
    ],
)
def test_several_species_in_a_cell_are_several_labels(cell):
    reading = read_cells([*PLAIN, cell], None)
    assert reading.labels[cell] == ("leopard", "hog")
    assert reading.several == [cell]
    assert read_cells([cell], PLAIN).labels[cell] == ("leopard", "hog")


@pytest.mark.parametrize(
    "cell",
    [
        *("other (non-primate)", "other (primate; bird)", "mother and cub", "wild dog", "Grevy's zebra"),
        *("leopard (melanistic, old)", "large_ungulate", "non-primate"),
    ],
)
def test_a_name_may_hold_signs(cell):
    reading = read_cells([*PLAIN, cell], None)
    assert reading.labels[cell] == (cell,)
    assert not reading.several
    assert not reading.unsure


@pytest.mark.parametrize(
    "cell", ["Fox, red", "leopard, zebra", "cat/dog", "leopard and cub", "hog - male", "a+b"]
)
def test_what_may_be_one_class_or_several_is_asked(cell):
    reading = read_cells([*PLAIN, cell], None)
    assert reading.unsure == [cell]
    assert reading.labels[cell] == ()


def test_a_class_of_the_settings_is_one_whatever_it_holds():
    classes = ["leopard; hog", "Fox, red", "None", "leopard", "hog", "-"]
    reading = read_cells(classes, classes)
    assert reading.labels == {c: (c,) for c in classes}
    reading = read_cells(["LEOPARD", "leopard, zebra", "ox"], classes)
    assert reading.guessed == {"LEOPARD": "leopard"}
    assert list(reading.unknown) == ["leopard, zebra", "ox"]


def test_parts_become_classes_where_the_sign_is_sure():
    assert read_cells(["lion; ox", "ox; gnu"], None).labels == {
        "lion; ox": ("lion", "ox"),
        "ox; gnu": ("ox", "gnu"),
    }


def test_words_for_nothing():
    reading = read_cells(["NA", "#N/A", "None", "unlabelled", "lion", "NA; NaN"], None)
    assert reading.empty == ["NA", "#N/A", "None", "unlabelled", "NA; NaN"]
    assert [c for c, labels in reading.labels.items() if labels] == ["lion"]
    asked = ["none", "-", "?", "[]", "(blank)", "lion; none", "todo"]
    assert read_cells([*asked, "lion"], None).asked == asked
