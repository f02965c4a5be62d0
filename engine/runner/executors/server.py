"""Imported first by the process that workers are forked from: it hears no signal, and ends at once with its engine.

By itself it would look for its engine only after all its imports, which take many seconds on a busy machine. A sixth of
these would be the search for garbage, of which modules make none: it begins again behind them (`imported`).
"""

import gc

from engine.machine import signals
from engine.machine.process import end_with_parent

gc.disable()
signals.block()
end_with_parent()
