"""Imported by the tests, and by the server of their processes: nothing waits for the disk.

A small study asks for that a hundred times, some milliseconds each. What it is for, that a machine loses its power, is
in no test; what is read back comes from the system's memory.
"""

import os

os.fsync = lambda descriptor: None
