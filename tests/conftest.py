"""All tests: locks of their own, so that no study of the same user on this machine makes them wait."""

import os
import tempfile

os.environ["SECATEUR_LOCKS"] = tempfile.mkdtemp(prefix="secateur-test-locks-")
