"""Description of the project that a Camtrap DP comes from, in a YAML file of the user's."""

from collections.abc import Mapping
from pathlib import Path

from jungle.errors import UsageError, suggest
from jungle.export.camtrap_dp_schema import read_choices
from jungle.names import show
from jungle.plain import read_settings

PROJECT = ("title", "samplingDesign", "captureMethod", "individualAnimals")
OPTIONAL = ("id", "acronym", "description", "path")
OF_PACKAGE = (
    *("name", "id", "version", "keywords", "image", "homepage", "licenses", "bibliographicCitation"),
    *("coordinatePrecision", "relatedIdentifiers", "references"),
)
ROLES = ("contact", "principalInvestigator", "rightsHolder", "publisher", "contributor")


def read_project(file: Path) -> tuple[dict[str, object], dict[str, object]]:
    """Read the description of a project; return what goes under `project`, and the package's own properties.

    Raises:
        UsageError: something that the standard requires is missing, or a word is not one of its own.
    """
    found = read_settings(file)
    allowed = (*PROJECT, *OPTIONAL, "contributors", *(f"package.{k}" for k in OF_PACKAGE))
    package = found.pop("package", {})
    if not isinstance(package, dict):
        raise UsageError(f"project={file}: package: write settings (name: value) below it")
    every = [*found, *(f"package.{key}" for key in package)]
    if unknown := [key for key in every if key not in allowed]:
        raise UsageError(
            f"project={file}: there is no {show(unknown[0], 60)!r} in it.{suggest(unknown[0], allowed)}"
        )
    lacks = [key for key in (*PROJECT, "contributors") if found.get(key) in (None, "", [])]
    if lacks:
        raise UsageError(
            f"project={file}: it lacks {', '.join(f'{key} ({_describe(key)})' for key in lacks)}: these are "
            "never made up"
        )
    _check_words(file, "samplingDesign", found["samplingDesign"])
    methods = found["captureMethod"]
    methods = methods if isinstance(methods, list) else [methods]
    for word in methods:
        _check_words(file, "captureMethod", word)
    if not isinstance(found["individualAnimals"], bool):
        raise UsageError(f"project={file}: individualAnimals: {_describe('individualAnimals')}")
    contributors = found["contributors"]
    people = contributors if isinstance(contributors, list) else [contributors]
    project = {key: found[key] for key in (*OPTIONAL[:1], *PROJECT[:1], *OPTIONAL[1:]) if key in found}
    project |= {
        "samplingDesign": found["samplingDesign"],
        "captureMethod": list(dict.fromkeys(methods)),
        "individualAnimals": found["individualAnimals"],
        "observationLevel": ["media", "event"],
    }
    _check_licenses(file, package)
    return project, {**package, "contributors": [_check_person(file, p) for p in people]}


def _describe(key: str) -> str:
    if key == "individualAnimals":
        return "true where animals are marked or recognised, else false"
    if key == "contributors":
        return "a list, each with a title, the name of a person or an organisation"
    return "text" if key == "title" else f"one of {', '.join(read_choices(key))}"


def _check_words(file: Path, key: str, word: object) -> None:
    if word not in (choices := read_choices(key)):
        raise UsageError(
            f"project={file}: {key}: {show(word, 40)!r} is not valid.{suggest(str(word), choices)}"
        )


def _check_person(file: Path, person: object) -> Mapping[str, object]:
    """Return a contributor; a plain name is the title of one.

    Raises:
        UsageError: there is no title, or the role is not one of the standard's.
    """
    if isinstance(person, str):
        return {"title": person}
    if not isinstance(person, dict) or not isinstance(person.get("title"), str):
        raise UsageError(f"project={file}: contributors: {_describe('contributors')}")
    role = person.get("role", "contributor")
    if role not in ROLES:
        raise UsageError(f"project={file}: role: {show(role, 40)!r} is not valid.{suggest(str(role), ROLES)}")
    return person


def _check_licenses(file: Path, package: Mapping[str, object]) -> None:
    licenses = package.get("licenses")
    if licenses is None:
        return
    scopes = [e.get("scope") for e in licenses if isinstance(e, dict)] if isinstance(licenses, list) else []
    if not {"data", "media"} <= set(scopes):
        raise UsageError(
            f"project={file}: package.licenses: write one with scope: data and one with scope: media"
        )
