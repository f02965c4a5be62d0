"""Imported last by the process that workers are forked from: they look for garbage, but not in what was imported.

Looking through that, some 400 000 objects that stay, would also give each of them a copy of its own of their memory.
"""

import gc

gc.freeze()
gc.enable()
