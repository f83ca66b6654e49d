"""What a decoding worker does with a frame cache: take a clip from it, or decode it and keep it.

Where frames are picked by rule, a clip's picked frames are kept as they were decoded, damage and all. Where
they are drawn at random (`frames=random`), another draw needs other frames: all frames of a clip are decoded
the first time and kept, as long as there is room; a clip that is too long for that, or damaged, is not kept
and is decoded each epoch as without a cache. Nothing is thrown out for something else: a cache that is too
small for all clips still spares the decoding of those that it holds.

Frames are kept as a spec makes them, before augmentation, in a file named by the content of the video, and,
where that was damaged, by when it was last written (`Content`), in a folder named by all else that shapes
frames. A damaged file is decoded again. What comes out is the same to the bit with a cache and without.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from jungle.data.content_key import Content, read_content
from jungle.data.frame_cache import file as frame_cache_file
from jungle.data.frame_cache.shared_folder import TRYING, Ledger
from jungle.video import Clip, ClipSpec
from jungle.video.frames.sampling import pick
from jungle.video.workers.decode_pool import Job

FORMAT = 2  # another one where a change of this program changes frames
WHOLE = 256 << 20  # bytes; a longer clip is not read as a whole: a worker would hold it three times over
THERE, KEPT, FULL = "there", "kept", "the cache is full"


class CachedFrames:
    """Reads clips in the workers of a `DecodePool`: a `Source`. Plain and picklable.

    Args:
        root: the folder of the cache.
        ledger: counts what is in it.
        spec: how clips are read.
    """

    def __init__(self, root: Path, ledger: Ledger, spec: ClipSpec) -> None:
        self.ledger, self.spec = ledger, spec
        self.whole = spec.frames.kind == "random"
        self.made_by = made_by(spec)
        text = json.dumps(self.made_by, sort_keys=True)
        self.folder = root / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self._refused: dict[str, str] = {}
        """Why clips cannot be kept, by content: found out once."""

    def __call__(self, job: Job, gpu: int) -> Clip:
        """Read a clip; `Clip.cache` says how the cache fared: `THERE`, `KEPT`, or why it is not kept.

        Raises:
            ClipError: no frame can be read.
        """
        if not job.content:
            return self._decoded(job, gpu, "read once only, or of unknown content")
        file = self._file(job, "ok")
        found = self._found(job)
        if found is not None:
            return found
        if job.content in self._refused:
            return self._decoded(job, gpu, self._refused[job.content])
        claim = file.with_suffix(TRYING)
        try:
            file.parent.mkdir(exist_ok=True)
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            # Another is at it, or it has cost a worker its life: read as without a cache.
            return self._decoded(job, gpu, "being read elsewhere, or took too long")
        except OSError as error:
            return self._decoded(job, gpu, f"no file can be made: {error.strerror}")
        try:
            return self._found(job) or self._fresh(job, gpu)
        finally:
            claim.unlink(missing_ok=True)

    def _file(self, job: Job, status: str) -> Path:
        """Where a clip lies that was read with this status."""
        key = Content(job.content, job.if_damaged).key_of(status)
        return self.folder / key[:2] / f"{key}.safetensors"

    def _found(self, job: Job) -> Clip | None:
        """The clip as kept, or None."""
        return self._read(self._file(job, "ok"), job, True) or self._read(
            self._file(job, "degraded"), job, False
        )

    def _read(self, file: Path, job: Job, sound: bool) -> Clip | None:
        """The clip in a file; None where that is not there, or is damaged, in which case it goes."""
        try:
            choose = (lambda times: self._picks(times, job)) if self.whole else None
            clip = frame_cache_file.read(file, self._name(job), choose).replace(cache=THERE)
            # Earlier versions did not tell when a clip was damaged: it may have been repaired since.
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
            pass  # another has found it out too
        return None

    def _fresh(self, job: Job, gpu: int) -> Clip:
        """Decode a clip and keep it, if it can be kept."""
        from jungle.video.full_clip import TOO_LONG, NotWhole, read_whole

        if not self.whole:
            clip = self._decoded(job, gpu, "")
            return clip.replace(cache=self._keep(clip, job))
        left = self.ledger.left
        try:
            clip = read_whole(job.path, self.spec, min(WHOLE, left), gpu)
        except NotWhole as error:
            why = FULL if str(error) == TOO_LONG and left < WHOLE else str(error)
            self._refused[job.content] = why
            return self._decoded(job, gpu, why)
        kept, picks = self._keep(clip, job), self._picks(clip.times, job)
        return clip.replace(frames=clip.frames[picks], times=clip.times[picks], cache=kept)

    def _decoded(self, job: Job, gpu: int, why: str) -> Clip:
        from jungle.video.reader import read_or_plan

        clip = read_or_plan(job.path, job.adapt(self.spec), job.seed, gpu)
        assert isinstance(clip, Clip), "plans are for a GpuPool"
        return clip.replace(cache=why)

    def _picks(self, times: Any, job: Job) -> Any:
        return pick(job.adapt(self.spec).frames, times, times >= 0, job.seed)

    def _keep(self, clip: Clip, job: Job) -> str:
        """Write a clip, if it fits; return what `Clip.cache` says."""
        size, file = frame_cache_file.most_bytes(clip), self._file(job, clip.status)
        try:
            # Between being named by its content and being decoded, the video may have been replaced.
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


def made_by(spec: ClipSpec) -> dict[str, Any]:
    """Return all that shapes the frames kept, apart from the video file."""
    shape = spec.to_dict()
    if spec.frames.kind == "random":
        shape["frames"] = "all"  # whichever of them are drawn, and however many
    libraries = {"decord": ("decord", "decord2"), "torchcodec": ("torchcodec",)}.get(spec.decoder, ())
    return {**shape, "format": FORMAT, "libraries": {n: _version(n) for n in ("av", *libraries)}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
