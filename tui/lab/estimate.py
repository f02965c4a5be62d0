"""How long a preset would take on this machine."""

from engine.presets.spec import Spec
from engine.results import estimates
from engine.results.estimate import Estimate
from engine.results.estimates import History


def estimate(wanted: Spec, history: History) -> Estimate:
    """See `engine.results.estimates.estimate`."""
    # It takes multiprocessing along, which the first frame does without.
    from engine.runner.executors import choose

    return estimates.estimate(wanted, history, choose.machine(wanted.settings))
