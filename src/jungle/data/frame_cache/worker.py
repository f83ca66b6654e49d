"""Frame cache in a decoding worker: return a clip from it, or decode the clip and keep it.

If frames are picked by rule, a clip's picked frames are kept as they were decoded, damage included. If they
are drawn at random (`frames=random`), all frames of a clip are decoded the first time and kept, as long as
there is room; a clip that is too long for that, or damaged, is not kept and is decoded in each epoch. Nothing
is evicted: a cache that is too small for all clips still saves the decoding of those that it holds.

Frames are kept as a spec gives them, before augmentation, in a file named by the content of the video and, if
that was damaged, by the time of its last write (`Content`), in a folder named by everything else that shapes
frames. A damaged cache file is decoded again. Frames are the same to the bit with and without a cache.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib import metadata
from pathlib import Path

import numpy as np

from jungle.data.content_key import Content, read_content
from jungle.data.frame_cache import file as frame_cache_file
from jungle.data.frame_cache.shared_folder import TRYING, Ledger
from jungle.video import Clip, ClipSpec
from jungle.video.frames.sampling import pick
from jungle.video.full_clip import TOO_LONG, NotWhole, read_whole
from jungle.video.reader import read_or_plan
from jungle.video.workers.decode_pool import Job

FORMAT = 2  # raised by a change of this program that changes frames
WHOLE = 256 << 20  # bytes; a longer clip is not read as a whole: a worker would hold it three times
THERE, KEPT, FULL = "there", "kept", "the cache is full"


class CachedSource:
    """Reader of clips in the workers of a `DecodePool`: a `Source`. Plain and picklable.

    Args:
        root: the folder of the cache.
        ledger: counts what is in it.
        spec: how clips are read.
    """

    def __init__(self, root: Path, ledger: Ledger, spec: ClipSpec) -> None:
        self.ledger, self.spec = ledger, spec
        self.whole = spec.frames.kind == "random"
        self.fingerprint = make_frame_fingerprint(spec)
        text = json.dumps(self.fingerprint, sort_keys=True)
        self.folder = root / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self._refused: dict[str, str] = {}
        """Why clips cannot be kept, by content."""

    def __call__(self, job: Job, gpu: int) -> Clip:
        """Read a clip; `Clip.cache` is `THERE`, `KEPT`, or why it is not kept.

        Raises:
            ClipError: no frame can be read.
        """
        if not job.content:
            return self._decode(job, gpu, "read once only, or of unknown content")
        file = self._file(job, "ok")
        found = self._find(job)
        if found is not None:
            return found
        if job.content in self._refused:
            return self._decode(job, gpu, self._refused[job.content])
        claim = file.with_suffix(TRYING)
        try:
            file.parent.mkdir(exist_ok=True)
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            # Another worker reads it, or a worker died of it: read as without a cache.
            return self._decode(job, gpu, "being read elsewhere, or took too long")
        except OSError as error:
            return self._decode(job, gpu, f"no file can be made: {error.strerror}")
        try:
            return self._find(job) or self._decode_and_keep(job, gpu)
        finally:
            claim.unlink(missing_ok=True)

    def _file(self, job: Job, status: str) -> Path:
        """Return the cache file of a clip that was read with this status."""
        key = Content(job.content, job.if_damaged).key_of(status)
        return self.folder / key[:2] / f"{key}.safetensors"

    def _find(self, job: Job) -> Clip | None:
        """Return the clip as kept, or None."""
        return self._read(self._file(job, "ok"), job, True) or self._read(
            self._file(job, "degraded"), job, False
        )

    def _read(self, file: Path, job: Job, sound: bool) -> Clip | None:
        """Return the clip in a file; None if there is none. A damaged file is deleted."""
        try:
            choose = (lambda times: self._picks(times, job)) if self.whole else None
            clip = frame_cache_file.read(file, self._name(job), choose).replace(cache=THERE)
            # Earlier versions did not note when a clip was damaged: it may have been repaired since.
            if (clip.status == "ok") is sound:
                return clip
        except FileNotFoundError:
            return None
        except frame_cache_file.Damaged:
            pass
        try:
            size = file.stat().st_size
            file.unlink()
            self.ledger.give(size)
        except OSError:
            pass  # another worker has deleted it
        return None

    def _decode_and_keep(self, job: Job, gpu: int) -> Clip:
        """Decode a clip, and keep it if possible."""
        if not self.whole:
            clip = self._decode(job, gpu, "")
            return clip.replace(cache=self._keep(clip, job))
        left = self.ledger.left
        try:
            clip = read_whole(job.path, self.spec, min(WHOLE, left), gpu)
        except NotWhole as error:
            why = FULL if str(error) == TOO_LONG and left < WHOLE else str(error)
            self._refused[job.content] = why
            return self._decode(job, gpu, why)
        kept, picks = self._keep(clip, job), self._picks(clip.times, job)
        return clip.replace(frames=clip.frames[picks], times=clip.times[picks], cache=kept)

    def _decode(self, job: Job, gpu: int, why: str) -> Clip:
        clip = read_or_plan(job.path, job.adapt(self.spec), job.seed, gpu)
        assert isinstance(clip, Clip), "plans are for a GpuPool"
        return clip.replace(cache=why)

    def _picks(self, times: np.ndarray, job: Job) -> np.ndarray:
        return pick(job.adapt(self.spec).frames, times, times >= 0, job.seed)

    def _keep(self, clip: Clip, job: Job) -> str:
        """Write a clip if it fits; return the value of `Clip.cache`."""
        size, file = frame_cache_file.compute_most_bytes(clip), self._file(job, clip.status)
        try:
            # The video may have been replaced since its content key was computed.
            named = Content(job.content, job.if_damaged).key_of(clip.status)
            if read_content(job.path).key_of(clip.status) != named:
                return "its file has changed"
            file.parent.mkdir(exist_ok=True)
            if not self.ledger.take(size):
                self._refused[job.content] = FULL
                return FULL
            try:
                frame_cache_file.write(file, clip, self._name(job))
                size -= file.stat().st_size
            finally:
                self.ledger.give(size)
        except OSError as error:
            return f"no file can be written: {error.strerror}"
        return KEPT

    def _name(self, job: Job) -> str:
        return f"{job.content} {self.folder.name}"


def make_frame_fingerprint(spec: ClipSpec) -> dict[str, object]:
    """Return everything that shapes the kept frames, apart from the video file."""
    shape: dict[str, object] = spec.to_dict()
    if spec.frames.kind == "random":
        shape["frames"] = "all"  # any of them may be drawn
    libraries = {"decord": ("decord", "decord2"), "torchcodec": ("torchcodec",)}.get(spec.decoder, ())
    return {**shape, "format": FORMAT, "libraries": {n: _version(n) for n in ("av", *libraries)}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
