"""What the workers of the pool tests are told to do: a worker imports this module by name."""

import os
import signal
import time

import numpy as np

from jungle.video import ClipError
from jungle.video.workers.decode_pool import ReadTask


def misbehave(clip, job):
    """Do what the job's key says."""
    if "hang" in job.key:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    if "crash" in job.key:
        os.abort()
    if "killed" in job.key:
        os.kill(os.getpid(), signal.SIGKILL)
    if "memory" in job.key:
        np.ones(8 << 30, np.uint8)
    if "refuse" in job.key:
        raise ClipError("not this one")
    if "bug" in job.key:
        raise KeyError("x")
    return clip.replace(reason=str(os.getpid()))


def slow(clip, job):
    time.sleep(0.1)
    return clip


def abort(_job):
    os.abort()


class DieTogether(ReadTask):
    def __call__(self, order):
        if not order[1]:
            os.abort()
        return super().__call__(order)


def die_at_the_source(job, gpu):
    os.abort()
