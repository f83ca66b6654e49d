"""Clips whose features are wanted. Without torch, for plans and checks."""

from dataclasses import dataclass

from jungle.data.content_key import Content


@dataclass(frozen=True)
class Wanted:
    """A clip whose features are wanted: its content keys, its name for people, its path."""

    content: Content
    clip: str
    path: str
