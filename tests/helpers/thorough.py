"""The two runs of the tests: README's quick one tries some of the many, PICOGPT_THOROUGH=1 tries all."""

import os

import pytest

THOROUGH = bool(os.environ.get("PICOGPT_THOROUGH") or os.environ.get("PICOGPT_SLOW"))
thorough = pytest.mark.thorough


def few_or(few, many):
    """Return how many, or which, to try in this run.

    Whatever it is that is counted, the quick run's few are of the thorough run's many.
    """
    return many if THOROUGH else few


def first(n, values):
    """Return the values of a parameter, of which the quick run skips, and says so, all but the first n.

    Tuples are of several parameters.
    """
    values = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*value, marks=[thorough] if at >= n else []) for at, value in enumerate(values)]
