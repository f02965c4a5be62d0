"""Imported by the tests' server last: what workers print goes nowhere, where it would go into their engine's log."""

import os

for _stream in (1, 2):
    os.dup2(os.open(os.devnull, os.O_WRONLY), _stream)
