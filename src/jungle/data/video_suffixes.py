"""The suffixes of videos: those that are looked for, and others that are passed over and counted."""

import os

# fmt: off
VIDEO_SUFFIXES = frozenset([
    ".mp4", ".avi", ".mov", ".mkv", ".asf", ".wmv", ".mts", ".m2ts", ".mpg", ".mpeg", ".m4v", ".webm",
    ".ts", ".3gp",
])
# Of cameras, phones and recorders too, but not tried with this program: passed over, and counted.
OTHER_VIDEO_SUFFIXES = frozenset([
    ".dav", ".flv", ".f4v", ".lrv", ".lrf", ".insv", ".360", ".vob", ".ogv", ".ogm", ".rm", ".rmvb",
    ".divx", ".xvid", ".dv", ".qt", ".mpe", ".mpv", ".m2v", ".m1v", ".m2t", ".m2p", ".mp4v", ".mod",
    ".tod", ".trp", ".tp", ".mxf", ".mj2", ".mjpg", ".mjpeg", ".3g2", ".3gpp", ".264", ".h264", ".avc",
    ".265", ".h265", ".hevc", ".ivf", ".obu", ".y4m", ".amv", ".asx", ".nut", ".wtv", ".dvr-ms", ".r3d",
    ".braw",
])
# fmt: on


def get_suffix(name: str) -> str:
    """Return the suffix of a name in lower case, with its dot; empty where it has none."""
    return os.path.splitext(name)[1].lower()


def is_video(name: str) -> bool:
    """Return whether a name has the suffix of a video, in any case."""
    return get_suffix(name) in VIDEO_SUFFIXES


def strip_suffix(name: str) -> str:
    """Remove the suffix of a video from a name, if it has one."""
    return os.path.splitext(name)[0] if is_video(name) else name
