"""Races between engines: a process for each, the comparison of what they compute, turns, and the clock."""

import contextlib
import importlib.metadata
import logging
import os
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench import report as bench_report
from bench.peers import ENGINES
from picogpt.params.shapes import SIZES
from picogpt.system import machine
from picogpt.train import launch

log = logging.getLogger("bench")

REPOSITORY = Path(__file__).parents[2]
TINY = dict(n_vocab=50257, n_ctx=128, n_embd=64, n_head=4, n_layer=2)
TALES = dict(n_vocab=3072, n_ctx=320, n_embd=256, n_head=4, n_layer=4)  # the bundled model's
CHARACTERS = dict(n_vocab=65, n_ctx=64, n_embd=128, n_head=4, n_layer=4)  # nanoGPT's for a CPU
PAUSE = 0.15  # seconds: idle threads look out for more work first, OpenBLAS's for 0.1, before they sleep
TUNABLES = {  # what a mark in the name of an engine stands for: settings of glibc's malloc
    "+hp": "glibc.malloc.hugetlb=1",  # transparent huge pages
    "+keep": "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=2147483647"
    ":glibc.malloc.top_pad=67108864",  # as in picogpt's machine.keep_memory
}


TWICE = " x2"  # marks an engine that is two processes of one thread, as by --processes 2


class Ended(ValueError):
    """The process of an engine has ended by itself: a crash."""


class Worker:
    """A process with one engine, whose methods are called through a pipe."""

    def __init__(self, name, environment):
        self.name = name
        words = [sys.executable, str(Path(__file__).with_name("peers.py")), name]
        self.process = subprocess.Popen(
            [launch.mpiexec(), "-n", "2", *words] if TWICE in name else words,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def send(self, method, *arguments):
        """Ask the engine to run one of its methods."""
        self.method = method
        with contextlib.suppress(BrokenPipeError):  # `receive` will tell
            pickle.dump((method, arguments), self.process.stdin)
            self.process.stdin.flush()

    def receive(self):
        """Return what that method returned; what went wrong there is a ValueError here."""
        try:
            done, reply = pickle.load(self.process.stdout)
        except EOFError:
            code = self.process.wait()
            raise Ended(f"the process of {self.name} ended in {self.method} with code {code}") from None
        if not done:
            raise ValueError(f"{self.name} failed in {self.method}: {reply}")
        return reply

    def call(self, method, *arguments):
        """Run one of the engine's methods and return what it returns."""
        self.send(method, *arguments)
        return self.receive()

    def close(self):
        """End the process, also one that has something to say still."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Bench:
    """The settings of a run, and what it has found so far."""

    def __init__(self, folder, threads, rounds, quick):
        self.folder, self.threads, self.rounds, self.quick = folder, threads, rounds, quick
        self.rows, self.growth, self.limits, self.peaks = [], {}, {}, {}
        self.case, self.raw, self.notes = "", [], []
        self.ready = set()  # (engine, folder) that need no conversion any more
        self.absent = {}  # engine: what to install

    def pick(self, full, quick):
        """Return the first, or the second in a quick run."""
        return quick if self.quick else full

    def environment(self, name):
        """Return the environment of an engine's process."""
        n = 1 if TWICE in name else self.threads
        threads = {f"{kind}_NUM_THREADS": str(n) for kind in ("OMP", "OPENBLAS", "MKL")}
        paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        tunables = ":".join(tunable for mark, tunable in TUNABLES.items() if mark in name)
        malloc = dict(GLIBC_TUNABLES=tunables) if tunables else {}
        quiet = dict(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
        return os.environ | threads | malloc | quiet | dict(PYTHONPATH=os.pathsep.join(paths))

    @contextlib.contextmanager
    def worker(self, name):
        """Start an engine's process, and end it with the block."""
        worker = Worker(name, self.environment(name))
        try:
            yield worker
        finally:
            worker.close()

    def hparams(self, model):
        """Return the hyper-parameters of a model; all are tiny in a quick run."""
        if model == "characters":
            return CHARACTERS
        return self.pick((SIZES | dict(tales=TALES))[model], TINY)

    def model(self, name):
        """Return the folder of a random model, made when it is first asked for."""
        folder = self.folder / name
        if not folder.exists():
            with self.worker("picogpt") as worker:
                worker.call("make", folder, self.hparams(name))
        return folder

    def installed(self, name):
        """Return whether an engine can run; say once how to install one that cannot."""
        if name not in self.absent:
            self.absent[name] = lacks(name)
            if self.absent[name]:
                log.warning("%s is left out: %s", name, self.absent[name])
        return not self.absent[name]

    def convert(self, name, folder):
        """Write a model in the engine's format, in another process than the one that is measured."""
        if folder and (name, folder) not in self.ready:
            with self.worker(name) as worker:
                worker.call("convert", folder)
            self.ready.add((name, folder))

    def race(self, entrants, folder=None, agree=None, setup=None, warm_up=None, rounds=None):
        """Run all entrants, compare what they return, then time them in turn. -> {label: [seconds]}

        entrants: {label: (engine, method, *arguments)}; those of one engine share its process. Each is run
        once as a warm-up, with other arguments if `warm_up` gives them; a peer that crashes is left out, and
        that is noted. `agree(workers, {label: result})` raises if the results differ. `setup` is a method
        and its arguments, called first.
        """
        entrants = {label: call for label, call in entrants.items() if self.installed(call[0])}
        names = list(dict.fromkeys(call[0] for call in entrants.values()))
        for name in names:
            self.convert(name, folder)
        with contextlib.ExitStack() as stack:
            workers = {name: stack.enter_context(self.worker(name)) for name in names}
            for call in [("load", folder)] * bool(folder) + [setup] * bool(setup):
                for worker in workers.values():  # side by side, as imports take their time
                    worker.send(*call)
                for worker in workers.values():
                    worker.receive()
            results = {}
            for label, (name, method, *arguments) in entrants.items():
                try:
                    _, results[label] = workers[name].call(method, *(warm_up or arguments))
                except Ended as crash:
                    if name.startswith("picogpt"):
                        raise
                    self.notes.append(f"Left out: {crash}.")
            entrants = {label: call for label, call in entrants.items() if label in results}
            workers = {call[0]: workers[call[0]] for call in entrants.values()}
            times = {label: [] for label in entrants}
            if agree:
                self.notes += agree(workers, results) or []
            for _ in range(self.rounds if rounds is None else rounds):
                for label, (name, *call) in entrants.items():
                    time.sleep(PAUSE)
                    times[label].append(workers[name].call(*call)[0])
            self.peaks = {name: [worker.call("memory")] for name, worker in workers.items()}  # bytes
        self.raw.append(
            dict(case=self.case, model=folder and folder.name, seconds=times, peak_bytes=self.peaks)
        )
        return times

    def compare(self, title, unit, times, goals, work=1, ours="picogpt"):
        """Add a row to the table for each peer in `goals`, {peer: goal or None}, that has run.

        times: {label: [seconds]}, or for the unit MB bytes; `work` is how much was done in that time, or
        {label: how much}.
        """
        for peer, goal in goals.items():
            if peer in times:
                amounts = (work[ours], work[peer]) if isinstance(work, dict) else (work, work)
                goal = None if self.quick else goal
                row = bench_report.row(title, unit, times[ours], peer, times[peer], goal, amounts, ours)
                self.rows.append(row)

    def limit(self, what, unit, times, work):
        """Note what the machine can do at most, by the times of the entrant `what`."""
        self.limits[f"{what}, {unit}"] = work / statistics.median(times[what])

    def follow(self, what, unit, times, n=1):
        """Note how a time, taken for `n` things together, grows with `what`: {how much of it: [seconds]}."""
        points = {x: 1000 * statistics.median(seconds) / n for x, seconds in times.items()}
        self.growth[what] = dict(unit=unit, points=points, slope=bench_report.slope(points))

    def results(self):
        """Return all that was found, and where, as JSON can hold it."""
        left_out = ", ".join(name for name, lack in self.absent.items() if lack)
        notes = self.notes + [f"Left out, as not installed: {left_out}."] * bool(left_out)
        used = [engine(name).needs for name, lack in self.absent.items() if not lack]
        versions = {package: importlib.metadata.version(package) for needs in used for package in needs}
        system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        where = dict(cpu=cpu_name(), cores=os.cpu_count(), threads=self.threads, system=system)
        where |= dict(blas=machine.blas_name(), huge_pages=huge_pages())
        found = dict(rows=self.rows, growth=self.growth, limits=self.limits, notes=notes, raw=self.raw)
        return found | dict(machine=where, versions=versions, rounds=self.rounds, quick=self.quick)


def cpu_name():
    """Return what the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def huge_pages():
    """Return what Linux does about transparent huge pages: always, madvise or never."""
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return path.read_text().partition("[")[2].partition("]")[0] if path.exists() else "unknown"


def physical_memory():
    """Return the bytes of memory that the machine has; 0 where the system does not tell."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def engine(name):
    """Return the class of an engine."""
    return getattr(ENGINES[name], "func", ENGINES[name])


def lacks(name):
    """Return what an engine needs to run and does not have, with the remedy; or None."""
    for package in engine(name).needs:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return f"pip install {package}"
    if TWICE in name and not launch.mpiexec():
        return "pip install mpi4py mpich"
    if name.startswith("torch.compile") and not shutil.which("c++"):
        return "install a C++ compiler"
    return None


def equal(workers, results):
    """Raise ValueError unless all engines returned the same."""
    (ours, expected), *others = results.items()
    for name, result in others:
        if result != expected:
            raise ValueError(f"{name} returned something else than {ours}: no times were taken")


def same_ids(prompts, ours="picogpt", others=None):
    """Return a comparison of greedy ids with ours, which may only differ where rounding decides a near tie.

    A text that differs has to be greedy all the same: read by our model, none of its tokens is further behind
    the likeliest than twice the engine's `logits_off`. Without `others`, all engines are compared.
    """

    def agree(workers, results):
        notes = []
        for name in results if others is None else results.keys() & set(others):
            for prompt, theirs, own in zip(prompts, results[name], results[ours], strict=True):
                if theirs != own:
                    gaps = workers[ours].call("gaps", prompt, theirs)
                    if len(theirs) != len(own) or gaps.max() > 2 * engine(name).logits_off:
                        raise ValueError(f"{name} writes another text than {ours}: no times were taken")
                    where = f"near ties, of up to {gaps.max():.5f} between the logits"
                    notes.append(f"{name} chooses otherwise in {where}; it and we read the same.")
        return notes

    return agree


def same_logits(prompts):
    """Return a comparison of the logits after the prompts; the ids returned must be those of the largest."""

    def agree(workers, results):
        _, ours = workers["picogpt"].call("logits", prompts)
        for name, worker in workers.items():
            off = np.abs(worker.call("logits", prompts)[1] - ours).max()
            gap = (ours.max(axis=-1) - ours[np.arange(len(ours)), results[name]]).max()
            if not max(off, gap / 2) < engine(name).logits_off:
                raise ValueError(f"the logits of {name} are off by up to {off:.5f}: no times were taken")

    return agree


def same_losses(workers, results):
    """Raise ValueError unless the losses of the first steps are the same to four decimals."""
    for name, losses in results.items():
        off = np.abs(np.subtract(losses, results["picogpt"])).max()
        if not off < 1e-4:
            raise ValueError(f"the losses of {name} are off by up to {off:.5f}: no times were taken")


def equal_to(expected):
    """Return a comparison with what is known to be right."""

    def agree(workers, results):
        equal(workers, {"the text": expected} | results)

    return agree
