"""The words that people and other programs write above the columns of their tables."""

import re
import unicodedata


def fold_heading(heading: str) -> str:
    """Fold a heading for comparison: letters and digits alone, no accents, in lower case."""
    text = unicodedata.normalize("NFKD", heading.casefold().replace("ß", "ss"))
    return "".join(c for c in text if c.isalnum())


def split_words(text: str) -> tuple[str, ...]:
    """Split words at blanks, each folded by `fold_heading`."""
    return tuple(map(fold_heading, text.split()))


# Each word as `key` makes it; the first that a table has is taken. English, then French, German, Spanish,
# Portuguese, Italian, Dutch, Russian, Chinese and Japanese.
ROLES: dict[str, tuple[str, ...]] = {
    "filepath": split_words("""
        filepath filename file path clip video relativepath absolutepath fullpath imagepath videopath clipname
        clippath videofile videoname videofilename mediafile media mediapath image imagename imagefile
        originalfilename
        fichier nomfichier nomdufichier nomdefichier chemin cheminfichier chemindufichier clipvideo
        datei dateiname dateipfad pfad videodatei bild
        archivo nombrearchivo nombredearchivo nombredelarchivo fichero nombrefichero ruta rutaarchivo
        rutadelarchivo arquivo nomearquivo nomedoarquivo ficheiro caminho caminhodoarquivo nomedoficheiro
        nomefile percorso bestand bestandsnaam bestandspad pad
        файл имяфайла путь видео 文件 文件名 文件路径 路径 视频 ファイル ファイル名 パス
    """),
    "label": split_words("""
        label labels species class commonname speciescommonname speciesname specieslabel scientificname taxon
        taxonname animal animalspecies classname category vernacularname
        espece nomespece nomdelespece etiquette classe art tierart spezies artname klasse tier
        especie especies nombrecomun etiqueta clase nomecomum rotulo especieanimal specie etichetta soort
        diersoort вид животное класс метка 物种 种类 类别 标签 種 種名 ラベル
    """),
    "split": ("split", "subset"),
    "site": split_words("""
        site siteid sitename location locationid locationname placename deployment deploymentid deploymentname
        station stationid stationname trapstation trapstationname cameratrap cameratrapid camera cameraid
        cameraname cam
        lieu nomdusite nomsite emplacement localisation camerasite pointdecapture
        standort standortid ort fundort kamerastandort kamera kameraid
        sitio lugar ubicacion localidad estacion camara idcamara local localizacao estacao ponto camaratrampa
        sito luogo stazione locatie plaats место станция камера 地点 相机 位点 場所 カメラ
    """),
    "time": split_words("""
        time timestamp datetime dateandtime datetimeoriginal eventstart capturetime capturedat
        heure horodatage dateheure dateetheure zeit zeitpunkt zeitstempel datumzeit datumuhrzeit uhrzeit
        hora fechahora fechayhora horario datahora dataehora tijd ora
    """),
    "weight": ("weight",),
}
FOLDERS = split_words("""
    relativepath folder foldername folderpath subfolder directory dir dossier repertoire ordner verzeichnis
    carpeta directorio pasta diretorio cartella map
    path filepath mediapath imagepath videopath chemin pfad ruta caminho percorso pad
""")
DATES = ("date", "datum", "fecha", "data", "jour", "dia")
RANKS = ("genus", "genre", "gattung", "genero")
# Columns of well-known programs that may hold 0 and 1 and are no class.
NEVER_CLASSES = frozenset(
    split_words("""
        deleteflag delete flag flagged highlighted favorite count individuals quantity number night day ir
        infrared flash temperature temp moonphase sequence trigger id index row
        total sum reviewed verified checked validated processed confirmed done
    """)
)
# A number that stands for a label, as `species_id`: what it means stands elsewhere.
NUMBERS = re.compile(r"(species|label|class|category|taxon|animal)(id|code|number|no|nr|index)s?")
WEAK = ("animal", "tier", "category", "classe", "klasse", "clase")
"""Words for a label that may as well be a class."""
PLAIN = ("filename",)
"""Headings of one meaning in addition to the names of `ROLES`: those of the competition."""
OBSERVED = "observationtype"
"""The column of Camtrap DP for what was observed; its species is empty for all but animals."""
OBSERVED_CLASSES = ("blank", "human", "vehicle")
"""Its words that are a label by themselves; `animal`, `unknown` and `unclassified` are not."""
