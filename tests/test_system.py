import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from jungle.system import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def step():
    np.full(16_000_000, 1.0, np.float32)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_memory_that_is_kept_is_not_taken_anew() -> None:
    keep, give_back = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how])) for how in ("keep", "no")
    )
    assert give_back > 100  # pages of 4 KB, or of 2 MB
    assert keep < give_back / 10
