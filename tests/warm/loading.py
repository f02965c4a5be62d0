"""Imported first by the tests' server: garbage is not looked for until `engine.runner.executors.imported`, its last."""

import gc

gc.disable()
