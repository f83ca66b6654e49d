"""Types, ranges and choices of every setting, checked in the first second of a run.

The defaults live in `configs/`, one comment each; here is only what a value may be. No value names a Python
object to be built, so a config from a stranger cannot run code.
"""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jungle.config.ensemble import (
    EnsembleCheckConfig,
    EnsemblePseudoConfig,
    EnsembleReportConfig,
    EnsembleStackConfig,
)
from jungle.config.export import ExportConfig
from jungle.config.train import ClipsConfig, TrainConfig
from jungle.config.values import Section
from jungle.config.verbs import (
    CalibrateConfig,
    DecideConfig,
    DecisionSteps,
    DownloadConfig,
    IndexConfig,
    PredictConfig,
    PreviewConfig,
    ShrinkConfig,
    ThresholdsConfig,
)
from jungle.errors import UsageError, suggest

__all__ = [
    "CONFIGS",
    "CalibrateConfig",
    "ClipsConfig",
    "DecideConfig",
    "DecisionSteps",
    "DownloadConfig",
    "EnsembleCheckConfig",
    "EnsemblePseudoConfig",
    "EnsembleReportConfig",
    "EnsembleStackConfig",
    "ExportConfig",
    "IndexConfig",
    "PredictConfig",
    "PreviewConfig",
    "ShrinkConfig",
    "ThresholdsConfig",
    "TrainConfig",
    "check",
    "parse_config",
]

# What pydantic says in words of its own.
SAID = {
    "path_type": "give one path",
    "string_type": "give one text",
    "list_type": "give a list, such as [a,b]",
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "bool_parsing": "give true or false",
    "bool_type": "give true or false",
    "dict_type": "give settings, such as {a: 1}",
    "model_type": "give the settings of a group",
    "too_short": "give at least one",
}

S = TypeVar("S", bound=Section)

# verb -> what its composed config may be
CONFIGS: dict[str, type[Section]] = {
    "train": TrainConfig,
    "predict": PredictConfig,
    "preview": PreviewConfig,
    "download": DownloadConfig,
    "index": IndexConfig,
    "calibrate": CalibrateConfig,
    "thresholds": ThresholdsConfig,
    "decide": DecideConfig,
    "shrink": ShrinkConfig,
    "export": ExportConfig,
    "ensemble_stack": EnsembleStackConfig,
    "ensemble_report": EnsembleReportConfig,
    "ensemble_check": EnsembleCheckConfig,
    "ensemble_pseudo": EnsemblePseudoConfig,
}


def parse_config(kind: type[S], raw: object) -> S:
    """Return the typed config of what Hydra composed.

    Raises:
        UsageError: as `check`.
    """
    from omegaconf import OmegaConf

    return check(kind, OmegaConf.to_container(raw, resolve=True))


def check(kind: type[S], plain: object) -> S:
    """Return the typed config of a plain dict.

    Raises:
        UsageError: every wrong value in one line, with what is valid there.
    """
    try:
        return kind.model_validate(plain)
    except ValidationError as e:
        lines = {(at := _locate(err, plain)): _explain(at, err) for err in reversed(e.errors())}
        raise UsageError("; ".join(lines.values())) from None


def _locate(err: ErrorDetails, plain: object) -> str:
    """Return the key that an error is about, without the names of union members."""
    at: object = plain
    found: list[str] = []
    for i, part in enumerate(err["loc"]):
        last = i == len(err["loc"]) - 1
        below: dict[object, object] = (
            dict(enumerate(at)) if isinstance(at, list) else at if isinstance(at, dict) else {}
        )
        if part in below or (last and err["type"] in ("missing", "extra_forbidden")):
            found.append(str(part))
            at = below.get(part)
    return ".".join(found)


def _explain(where: str, err: ErrorDetails) -> str:
    context = err.get("ctx", {})
    if err["type"] in ("literal_error", "union_tag_invalid"):
        tagged = err["type"] == "union_tag_invalid"
        expected, given = (
            (context["expected_tags"], context["tag"])
            if tagged
            else (context["expected"].replace(" or ", ", "), err["input"])
        )
        choices = [c.strip("' ") for c in expected.split(",")]
        return f"{where}{'.name' if tagged else ''}={given} is not valid.{suggest(str(given), choices)}"
    if err["type"] == "value_error":
        said = str(context["error"])
        named = not where or said.startswith((f"{where}=", f"{where}."))
        return said if named else f"{where}: {said}"
    if err["type"] == "missing":
        return f"{where} is missing: it cannot be taken away"
    if err["type"] == "extra_forbidden":
        return f"there is no setting {where} ({where}={err['input']})"
    said = SAID.get(err["type"], f"{err['msg'][0].lower()}{err['msg'][1:]}")
    return f"{where}={_format_value(err['input'])}: {said}"


def _format_value(value: object) -> str:
    """Return a value as a user types it."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_format_value, value))}]"
    return str(value)
