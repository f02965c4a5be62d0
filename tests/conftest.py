"""All tests: locks of their own, so that no study of the same user on this machine makes them wait; one thread.

One thread, because the tests run in as many processes as there are cores, and small networks gain nothing by a second.
"""

import os
import tempfile

_LOCKS = tempfile.TemporaryDirectory(prefix="secateur-test-locks-")
os.environ["SECATEUR_LOCKS"] = _LOCKS.name
os.environ.setdefault("OMP_NUM_THREADS", "1")
