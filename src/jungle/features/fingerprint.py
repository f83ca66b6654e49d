"""Fingerprint of a spec: any change to what shapes a set of features changes it."""

import hashlib
import json
from collections.abc import Mapping


def compute_fingerprint(spec: Mapping[str, object]) -> str:
    """Return 32 hex digits (BLAKE2b-128) of `spec` in canonical JSON: keys sorted, and 1.0 the same as 1.

    Args:
        spec: plain types only: dict with text keys, list or tuple, str, int, float, bool, None.

    Raises:
        ValueError: it holds anything else, or NaN or infinity.
    """
    text = json.dumps(to_canonical(dict(spec)), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def make_canonical_spec(spec: Mapping[str, object]) -> dict[str, object]:
    """Return a spec as JSON gives it back: tuples as lists, whole floats as ints."""
    return {k: to_canonical(v, f"spec.{k}") for k, v in spec.items()}


def to_canonical(value: object, where: str = "spec") -> object:
    """Return one value of a spec as JSON gives it back.

    Raises:
        ValueError: it is not plain, or not finite.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [to_canonical(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: to_canonical(v, f"{where}.{k}") for k, v in value.items()}
    raise ValueError(f"{where} is {value!r}: use plain, finite values")


def describe_differences(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Return one line on the entries in which two specs differ."""
    names = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    return ", ".join(f"{k}: {old.get(k)!r} there, {new.get(k)!r} here" for k in names)
