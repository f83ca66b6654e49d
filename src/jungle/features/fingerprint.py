"""The name of what shaped a set of features: any change to the spec gives another."""

import hashlib
import json
from typing import Any


def fingerprint(spec: dict[str, Any]) -> str:
    """Return 32 hex digits (BLAKE2b-128) of `spec` in canonical JSON: keys sorted, and 1.0 the same as 1.

    Args:
        spec: plain types only: dict with text keys, list or tuple, str, int, float, bool, None.

    Raises:
        ValueError: it holds anything else, or NaN or infinity.
    """
    text = json.dumps(canonical(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def canonical(value: Any, where: str = "spec") -> Any:
    """Return `value` in the form that JSON gives back: tuples as lists, whole floats as ints."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [canonical(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: canonical(v, f"{where}.{k}") for k, v in value.items()}
    raise ValueError(f"{where} is {value!r}: a fingerprint is made of plain, finite values only")


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return which entries of two specs differ, for people."""
    names = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    return ", ".join(f"{k}: {old.get(k)!r} there, {new.get(k)!r} here" for k in names)
