"""How far a long work has come: a bar on a terminal; elsewhere a line every half minute and at the end."""

import contextlib
import logging
import os
import sys
import time

log = logging.getLogger("picogpt.progress")
log.setLevel(logging.INFO)  # also where no other news is shown
EVERY = 30  # seconds between lines


def bar(*args, **how):
    """Return tqdm's bar, on a terminal alone; it needs a width, which some terminals do not tell.

    tqdm is imported here, as a command that shows no bar would wait for it as long as for NumPy.
    """
    from tqdm import tqdm

    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    how = (dict(dynamic_ncols=True) if columns > 0 else dict(ncols=80)) | dict(disable=None) | how
    return tqdm(*args, **how)


class Progress:
    """Something of which `done` of `total` units are done."""

    def __init__(self, shown, done, total, unit):
        self.shown, self.done, self.total, self.unit, self.said = shown, done, total, unit, ""
        self.first, self.began = done, time.monotonic()
        self.told = self.began
        self.tells = shown.disable

    def show(self, done, said=""):
        """Show that so much is done; `said` is what else there is to know."""
        self.shown.set_postfix_str(said, refresh=False)
        self.shown.update(done - self.done)
        self.done, self.said = done, said or self.said
        if time.monotonic() >= self.told + EVERY:
            self.tell()

    def tell(self):
        """Write a line, where there is no bar."""
        self.told = time.monotonic()
        if self.tells:
            rate = (self.done - self.first) / max(self.told - self.began, 1e-9)
            news = f"{self.done:,} of {self.total:,} {self.unit}, {rate:,.4g} {self.unit}/s"
            log.info("%s%s", f"{self.said}; " if self.said else "", news)


@contextlib.contextmanager
def shown(total, done, unit, what=None, hidden=False, at_end=True):
    """Give the block a `Progress`, from `done` on; of many processes all but one have theirs hidden.

    Where there is no bar, a line `at_end` is there also for what takes no half minute.
    """
    from tqdm.contrib.logging import logging_redirect_tqdm

    how = dict(unit=unit, unit_scale=True, smoothing=0.05, mininterval=0.5, desc=what)
    how |= dict(total=total, initial=done, disable=True if hidden else None)
    with logging_redirect_tqdm(), bar(**how) as drawn:
        progress = Progress(drawn, done, total, unit)
        progress.said, progress.tells = what or "", drawn.disable and not hidden
        yield progress
        if progress.done > progress.first and (at_end or progress.told > progress.began):
            progress.tell()
