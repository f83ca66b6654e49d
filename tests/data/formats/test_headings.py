import datetime
import logging

import pytest

from jungle.errors import UserError
from tests.data.loading import load_csv

CLIPS = ("cam1/a.mp4", "cam2/a.mp4", "cam2/b.MP4")


@pytest.fixture
def root(tmp_path):
    for name in CLIPS:
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / name).touch()
    return tmp_path / "clips"


def load(root, text, **named):
    path = root.parent / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return load_csv(path, root, **named)


@pytest.mark.parametrize(
    "head",
    [
        *(
            "File name;Species;Site ID",
            "FILENAME;SPECIES;SITE",
            "File_Name;Common Name;Camera",
            "Video;Animal;Cam",
        ),
        *(
            "fichier;espèce;site",
            "Nom du fichier;Espèce;Lieu",
            "Chemin;Étiquette;Station",
            "Datei;Art;Standort",
        ),
        *("Dateiname;Tierart;Kamera", "Pfad;Klasse;Ort", "archivo;especie;sitio", "arquivo;espécie;local"),
        *(
            "Nombre de archivo;Nombre común;Estación",
            "Ficheiro;Espécie;Localização",
            "bestandsnaam;soort;locatie",
        ),
        *("filePath;scientificName;deploymentID", "Clip Name;Taxon;Trap Station Name"),
    ],
)
def test_headings_of_other_programs_and_languages(root, head):
    clips = load(root, f"{head}\ncam1/a.mp4;lion;s1\ncam2/a.mp4;ox;s2\n")
    assert clips.table.select("clip", "site", "lion", "ox").rows() == [
        ("cam1/a.mp4", "s1", 1, 0),
        ("cam2/a.mp4", "s2", 0, 1),
    ]


@pytest.mark.parametrize("above", ["RootFolder", "Directory"])
def test_timelapse_names_a_clip_by_two_columns(root, caplog, above):
    rows = "".join(f"clips,{n.split('/')[1]},{n.split('/')[0]},false,lion,1\n" for n in CLIPS)
    with caplog.at_level(logging.INFO, "jungle"):
        clips = load(
            root,
            f"{above if above == 'RootFolder' else 'Set'},File,RelativePath,DeleteFlag,Species,Count\n{rows}",
        )
    assert clips.table["clip"].to_list() == list(CLIPS)
    assert "RelativePath and File together name a clip" in caplog.text
    assert "columns not used:" in caplog.text
    assert "Count" in caplog.text
    one_up = load_csv(root.parent / "labels.csv", root.parent) if above == "RootFolder" else None
    assert one_up is None or one_up.table["clip"].to_list() == [f"clips/{n}" for n in CLIPS]


def test_a_folder_belongs_to_a_name_only_where_the_disk_does_not_say_otherwise(root):
    (root / "c.mp4").touch()
    assert load(root, "file,folder,label\nc.mp4,batch 7,lion\n").table["clip"].to_list() == ["c.mp4"]
    assert load(root, "file,folder,label\na.mp4,.\\cam1\\,lion\n").table["clip"].to_list() == ["cam1/a.mp4"]


def test_ranks_make_a_name(root):
    clips = load(root, "filename,genus,species\ncam1/a.mp4,Panthera,leo\ncam2/a.mp4,,blank\n")
    assert clips.classes == ("Panthera leo", "blank")
    wi = "filename,location,deployment_id,class,order,genus,species,common_name\n"
    clips = load(root, wi + "cam1/a.mp4,gs://b/a.mp4,d1,Mammalia,Carnivora,Panthera,leo,Lion\n")
    assert clips.classes == ("Lion",)
    assert clips.table["site"].to_list() == ["d1"]


def test_species_in_several_columns(root):
    clips = load(root, "file,Species 1,Species 2\ncam1/a.mp4,lion,ox\ncam2/a.mp4,ox,\n")
    assert clips.table.select("lion", "ox").rows() == [(1, 1), (0, 1)]


def test_two_label_columns_are_asked_unless_they_name_the_same(root):
    with pytest.raises(UserError, match=r"label and species may both be the label.*data\.label_column=label"):
        load(root, "file,label,species\ncam1/a.mp4,animal,lion\ncam2/a.mp4,animal,ox\n")
    with pytest.raises(UserError, match="Label and label may both"):
        load(root, "file,Label,label\ncam1/a.mp4,lion,x\ncam2/a.mp4,lion,ox\n")
    both = "file,species,scientificName\ncam1/a.mp4,lion,Panthera leo\ncam2/a.mp4,ox,Bos\n"
    assert load(root, both).classes == ("lion", "ox")
    assert load(root, both, label_column="scientificname").classes == ("Bos", "Panthera leo")


def test_a_column_of_0_and_1_is_a_class_whatever_its_name(root):
    clips = load(root, "file,animal,blank\ncam1/a.mp4,1,0\ncam2/a.mp4,0,1\n")
    assert clips.classes == ("animal", "blank")


def test_all_unknown_headings_are_said_at_once(root):
    with pytest.raises(UserError) as error:
        load(root, "Aufnahme,Was\ncam1/a.mp4,lion\n")
    for part in ("no column names the clips", "data.filepath_column=Aufnahme", "data.label_column="):
        assert part in str(error.value)
    with pytest.raises(UserError) as error:
        load(root, "Aufnahme,Was\ncam1/a.mp4,lion\n", filepath_column="aufname", label_column="wass")
    for part in ("'aufname' for the filepath. Nearest: Aufnahme", "'wass' for the label. Nearest: Was"):
        assert part in str(error.value)


def test_ignored_columns_are_named(root, caplog):
    with caplog.at_level(logging.INFO, "jungle"):
        load(root, "Date,file,label,Observer\n2023-01-01,cam1/a.mp4,lion,me\n")
        load(root, "Date,file,lion,Observer\n2023-01-01,cam1/a.mp4,1,me\n")
    assert caplog.text.count("columns not used: Date, Observer") == 2


def test_date_and_hour_in_two_columns_are_one_time(root):
    clips = load(root, "Date,Time,file,label\n2023-01-02,10:30:00,cam1/a.mp4,lion\n")
    assert clips.table["time"].to_list() == [datetime.datetime(2023, 1, 2, 10, 30)]


@pytest.mark.parametrize(
    "above", ["My survey\n", "My survey,,\nby me,,\n", "# exported 2023, by me\n\n", "sep=,\n"]
)
def test_titles_above_the_header_are_passed_over_and_said(root, caplog, above):
    clips = load(root, above + "file,label,site\ncam1/a.mp4,lion,s1\n")
    assert clips.classes == ("lion",)
    assert ("stands above it is passed over" in caplog.text) == (above != "sep=,\n")


def test_a_header_in_the_second_line_is_seen(root):
    with pytest.raises(UserError, match="Line 2 looks like the header"):
        load(root, "Files,,Places\nfile,label,site\ncam1/a.mp4,lion,s1\n")


def test_two_tables_in_one_file(root, caplog):
    clips = load(root, "file,label\ncam1/a.mp4,lion\nfile,label\ncam2/a.mp4,ox\n")
    assert clips.classes == ("lion", "ox")
    assert "line 3 is the header again" in caplog.text


def test_a_column_without_a_name_that_says_something(root, caplog):
    load(root, ",file,,label\n1,cam1/a.mp4,cam7,lion\n2,cam2/a.mp4,cam7,ox\n")
    assert "column 3 (line 2: 'cam7') has no name and is not used" in caplog.text
    assert "column 1" not in caplog.text


def test_decimal_commas_and_booleans_of_spreadsheets(root):
    clips = load(root, "file;lion;weight\ncam1/a.mp4;WAHR;0,5\ncam2/a.mp4;FALSCH;1\n")
    assert clips.table.select("lion", "weight").rows() == [(1, 0.5), (0, 1.0)]
    assert load(root, "file;lion\ncam1/a.mp4;1,0\n").targets().tolist() == [[1]]
    with pytest.raises(UserError, match="1,000"):
        load(root, "file;lion;weight\ncam1/a.mp4;1;1,000\n")


def test_a_camtrap_dp_without_its_media(root):
    with pytest.raises(UserError, match=r"filePath of media\.csv"):
        load(root, "observationID,mediaID,observationType,scientificName\n1,m1,animal,lion\n")
