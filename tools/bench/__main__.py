"""bench - how fast picogpt is, beside the engines that are installed and beside the machine's limits

usage: python tools/bench [CASE ...] [flags]

  CASE              what to measure, by its name or the beginning of it (all):
                    {cases}
  --rounds N        how often each engine's time is taken (5)
  --threads N       for every engine (all cores)
  --quick           tiny models, to compare what is computed: the times mean nothing
  --json FILE       write everything, raw times too
  --markdown FILE   write the tables for a page
  --plot FILE       draw them (.png, .svg or .pdf)
  -h, --help        this page

How it measures. All engines have the same random weights, and what they compute is compared before any time
is taken: greedy ids, logits, losses. Each engine runs in a process of its own, with its own threads. The
engines take turns, round after round, with a pause in between in which the threads of one fall asleep; so a
machine that slows down slows all. A ratio is that of the medians; the range beside it is the middle half of
the ratios of the single rounds.

"+hp" marks peers whose process is given transparent huge pages, for which NumPy asks by itself, "+keep" those
that keep freed memory, as our training does: both by GLIBC_TUNABLES. "x2" marks us in two processes of one
thread, as by --processes 2. "sgemm" and "all weights in gemvs" are
what NumPy's BLAS does alone, in our process and the same rounds: a product of two matrices of 2048 x 2048,
and each weight matrix times one vector. As goals they are shares.

What is not installed is left out, and said; pip install -e ".[bench]" has all of it.
Exit codes: 0 done, 1 error (say, engines that do not agree), 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import argparse
import importlib.util
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
import numpy as np

from bench import report as bench_report
from bench.race import Bench, equal, equal_to, physical_memory, same_ids, same_logits, same_losses
from picogpt.params.shapes import n_params
from picogpt.system import command

log = logging.getLogger("bench")

REPOSITORY = Path(__file__).parents[2]
LARGE = 512 * 2**20  # bytes, more than any cache holds
TEXT = REPOSITORY / "tests" / "data" / "tinyshakespeare.txt"
PUBLISHED = REPOSITORY / "tests" / "references" / "published" / "golden_greedy.json"
CASES = {}  # name: function of a Bench, in the order of the table


def case(function):
    """Add a function to the cases, under its own name."""
    CASES[function.__name__.replace("_", "-")] = function
    return function


@case
def decode(b):
    """Read a prompt and write 128 tokens: tokens per second of the writing."""
    prompt, n_new = random_ids(1, b.pick(64, 16)), b.pick(128, 8)
    goals = {"transformers": 1.5, "llama.cpp f32 +hp": 1.0, "onnxruntime +hp": 1.0}
    entrants = {name: (name, "decode", prompt, n_new) for name in ("picogpt", *goals)}
    times = b.race(entrants, b.model("124M"), same_ids(prompt))
    b.compare(f"decode {len(prompt[0])} + {n_new}", "tokens/s", times, goals, n_new - 1)


@case
def fewer_bytes(b):
    """Write with the compiled products, and with weights of fewer bytes: tokens per second.

    In float32 all engines write the same text, in bfloat16 and int8 ours does with and without the products.
    llama.cpp rounds otherwise there.
    """
    prompt, n_new = random_ids(1, b.pick(64, 16)), b.pick(128, 8)
    goals = {
        "picogpt fast": {"llama.cpp f32 +hp": 1.1, "onnxruntime +hp": 1.05, "picogpt": None},
        "picogpt fast bfloat16": {
            "llama.cpp f32 +hp": 2.0,
            "llama.cpp f16 +hp": 1.0,
            "picogpt bfloat16": None,
        },
        "picogpt fast int8": {"llama.cpp f32 +hp": 2.8, "llama.cpp q8_0 +hp": 1.0, "picogpt int8": None},
    }
    names = dict.fromkeys([*goals, *(peer for peers in goals.values() for peer in peers)])
    pairs = [("picogpt", ["picogpt fast", "llama.cpp f32 +hp", "onnxruntime +hp"])]
    pairs += [(f"picogpt {dtype}", [f"picogpt fast {dtype}"]) for dtype in ("bfloat16", "int8")]

    def agree(workers, results):
        return [note for pair in pairs for note in same_ids(prompt, *pair)(workers, results)]

    times = b.race({name: (name, "decode", prompt, n_new) for name in names}, b.model("124M"), agree)
    for ours, peers in goals.items():
        if ours in times:
            b.compare(f"decode {len(prompt[0])} + {n_new}", "tokens/s", times, peers, n_new - 1, ours)


@case
def few_rows(b):
    """Write with the products in a batch of 16 rows, and with lookup: tokens per second, over plain ones."""
    length, n_new, rows = b.pick(64, 16), b.pick(33, 8), (1, 2, 4, 8, 16)
    loop, begin = looping_text(b.pick(128, 8))
    for engine in ("picogpt", "picogpt fast", "picogpt fast bfloat16", "picogpt fast int8"):
        entrants = {f"batch {n}": (engine, "decode", random_ids(n, length), n_new) for n in rows}
        times = b.race(entrants, b.model("124M"))
        if len(times) < len(rows):  # Numba is not installed
            continue
        tokens = {f"batch {n}": n * (n_new - 1) for n in rows}
        b.compare(f"{engine}, batch 16", "tokens/s", times, {"batch 1": 7.0}, tokens, ours="batch 16")
        b.follow(
            f"rows in a batch, {engine}",
            "ms per step",
            dict(zip(rows, times.values(), strict=True)),
            n_new - 1,
        )
        call = engine, "decode", [loop[:begin]], len(loop) - begin
        entrants = {"with lookup": (*call, True), "plain decode": (*call, False)}
        times = b.race(entrants, b.model("124M"), equal_to([loop[begin:]]), setup=("dictate", loop))
        title = f"{engine}, lookup, text that loops"
        b.compare(title, "tokens/s", times, {"plain decode": 4.0}, len(loop) - begin - 1, ours="with lookup")


@case
def decode_step(b):
    """Write tokens, and multiply one vector by each weight matrix alone: the share of the latter."""
    n_new, n_bytes = b.pick(33, 8), b.pick(LARGE, 2**20)
    entrants = {
        "picogpt": ("picogpt", "decode", random_ids(1, b.pick(64, 16)), n_new),
        "all weights in gemvs": ("picogpt", "gemvs", n_new - 1),
        "one matrix in a gemv": ("picogpt", "read", n_bytes),
    }
    times = b.race(entrants, b.model("124M"))
    b.compare("decode step", "steps/s", times, {"all weights in gemvs": 0.9}, n_new - 1)
    all_bytes = 4 * sum(bench_report.matrix_weights(b.hparams("124M"))) * (n_new - 1)
    b.limit("all weights in gemvs", "GB/s", times, all_bytes / 1e9)
    b.limit("one matrix in a gemv", "GB/s", times, n_bytes / 1e9)


@case
def decode_16(b):
    """Write in a batch of 16 rows: tokens per second, over those of one row."""
    length, n_new = b.pick(64, 16), b.pick(33, 8)
    rows = {"batch 16": 16, "batch 1": 1}
    entrants = {name: ("picogpt", "decode", random_ids(n, length), n_new) for name, n in rows.items()}
    times = b.race(entrants, b.model("124M"))
    tokens = {name: n * (n_new - 1) for name, n in rows.items()}
    b.compare("decode, batch 16", "tokens/s", times, {"batch 1": 5.0}, tokens, ours="batch 16")


@case
def lookup(b):
    """Write with and without prompt lookup: a text that loops as GPT-2's do, and one without repetitions."""
    n_new = b.pick(128, 8)
    loop, begin = looping_text(n_new)
    [distinct] = random_ids(1, len(loop))
    for name, text, goal in (("loops", loop, 2.0), ("never matches", distinct, 0.97)):
        call = "picogpt", "decode", [text[:begin]], n_new
        entrants = {"with lookup": (*call, True), "plain decode": (*call, False)}
        times = b.race(entrants, b.model("124M"), equal_to([text[begin:]]), setup=("dictate", text))
        goals = {"plain decode": goal}
        b.compare(f"lookup, text that {name}", "tokens/s", times, goals, n_new - 1, ours="with lookup")


@case
def prefill_1x1023(b):
    """Read one prompt of 1023 tokens: the time until the next token is known."""
    prefill(b, 1, b.pick(1023, 100), {"transformers": 1.7, "torch +hp": 1.0, "onnxruntime +hp": None})


@case
def prefill_8x128(b):
    """Read eight prompts of 128 tokens."""
    prefill(b, 8, b.pick(128, 32), {"transformers": 1.4, "torch +hp": 1.1, "onnxruntime +hp": None})


def prefill(b, n_rows, length, goals):
    """Compare the times, and the arithmetic per second with that of a large matrix product."""
    prompts, n, hparams = random_ids(n_rows, length), b.pick(2048, 256), b.hparams("124M")
    entrants = {name: (name, "prefill", prompts) for name in ("picogpt", *goals)}
    entrants["sgemm"] = ("picogpt", "sgemm", n)
    times = b.race(entrants, b.model("124M"), same_logits(prompts))
    gflops = dict(picogpt=bench_report.prefill_flops(hparams, n_rows, length) / 1e9, sgemm=2 * n**3 / 1e9)
    b.compare(f"prefill {n_rows} x {length}", "ms", times, goals)
    b.compare(f"prefill {n_rows} x {length}", "GFLOP/s", times, {"sgemm": 0.7}, gflops)
    b.limit("sgemm", "GFLOP/s", times, gflops["sgemm"])


@case
def train(b):
    """Make a training step on 4 windows of 64 tokens: gradients, clipping, AdamW."""
    goals = {"torch eager": 1.7, "torch fused +hp": 1.25, "torch fused +hp +keep": None}
    goals |= {"torch.compile fused +hp": 1.5}
    training(b, "124M", (4, b.pick(64, 16)), 1, goals)


@case
def train_small(b):
    """Make a training step of nanoGPT's model of characters: 12 windows of 64."""
    goals = {"torch eager": 1.1, "torch fused +hp": None}
    training(b, "characters", (12, 64), b.pick(10, 1), goals, {"torch eager": 1.4, "picogpt": None})


def training(b, model, batch, n_steps, goals, goals_of_two=None):
    """Compare the losses of the first three steps, then the time of `n_steps`; also by --processes 2."""
    ours = ["picogpt", "picogpt x2"] if goals_of_two else ["picogpt"]
    entrants = {name: (name, "train", *batch, n_steps) for name in (*ours, *goals)}
    times = b.race(entrants, b.model(model), same_losses, warm_up=(*batch, 3))
    title = f"train {model} {batch[0]} x {batch[1]}"
    b.compare(title, "ms", times, goals, n_steps)
    if "picogpt x2" in times:
        b.compare(f"{title}, --processes 2", "ms", times, goals_of_two, n_steps, "picogpt x2")


@case
def start(b):
    """Start a process and write the first token, 124M on disk and in the page cache."""
    call = "start", b.model("124M"), "Alan Turing theorized that computers would one day become"
    times = b.race({name: (name, *call) for name in ("picogpt", "transformers")}, agree=equal)
    b.compare("start to first token", "s", times, {"transformers": 10.0})


@case
def memory(b):
    """Generate once, and train: the most memory that each process has held."""
    folder, n_bytes = b.model("124M"), 4 * n_params(b.hparams("124M"))
    b.race({"": ("picogpt", "decode", random_ids(1, b.pick(64, 16)), b.pick(128, 8))}, folder, rounds=0)
    b.compare("memory, generating", "MB", b.peaks | {"the weights": [n_bytes]}, {"the weights": 1.2})
    for dtype, n, goal in (("bfloat16", 2, 1.25), ("int8", 1, 1.35)):
        engine, title = f"picogpt {dtype}", f"memory, generating in {dtype}"
        b.race({"": (engine, "decode", random_ids(1, b.pick(64, 16)), b.pick(128, 8))}, folder, rounds=0)
        peaks = b.peaks | {"the weights": [n_bytes * n // 4]}
        b.compare(title, "MB", peaks, {"the weights": goal}, ours=engine)
    entrants = {name: (name, "train", 4, b.pick(64, 16), 2) for name in ("picogpt", "torch eager")}
    b.race(entrants, folder, rounds=0)
    b.compare("memory, training", "MB", b.peaks, {"torch eager": 1.0})


@case
def large(b):
    """Write 20 tokens with 1558M in fewer bytes, in plain NumPy: the most memory that the process held."""
    hparams = b.hparams("1558M")
    for dtype, most in (("bfloat16", 3.6e9), ("int8", 2.1e9)):
        engine, folder = f"picogpt {dtype}", b.folder / f"1558M-{dtype}"
        with b.worker(engine) as worker:
            worker.call("make_large", folder, hparams)
        b.race({"": (engine, "decode", random_ids(1, 16), b.pick(20, 8))}, folder, rounds=0)
        peers = b.peaks | {"the goal": [most]}
        b.compare(f"memory, 1558M in {dtype}", "MB", peers, {"the goal": 1.0}, ours=engine)


@case
def encode(b):
    """Encode a megabyte of English."""
    text, goals = english(b.pick(10**6, 10**4)), {"tiktoken": 1 / 20, "tokenizers": None}
    times = b.race({name: (name, "encode", text) for name in ("picogpt", *goals)}, agree=equal)
    b.compare("encode English", "MB/s", times, goals, len(text) / 1e6)


@case
def forms(b):
    """Compare the fast forms with the plain ones that define them, each by what it is used for."""
    folder, small = b.model("124M"), b.model("tales")
    for n_rows, length in ((1, b.pick(1023, 100)), (8, b.pick(128, 32))):
        prompts = random_ids(n_rows, length)
        entrants = {"in pieces": ("picogpt", "prefill", prompts)}
        entrants["in one call"] = "picogpt", "prefill_in_one", prompts
        form(b, f"prefill {n_rows} x {length}", entrants, folder)
    batch = b.pick((16, 256), (16, 64))
    entrants = {"in parts": ("picogpt", "gradients", *batch, True)}
    entrants["the whole batch"] = "picogpt", "gradients", *batch, False
    form(b, f"gradients {batch[0]} x {batch[1]}, 3.9 M parameters", entrants, small)
    call = "train", 4, b.pick(64, 16), 1
    entrants = {"memory kept": ("picogpt", *call), "given back": ("picogpt giving memory back", *call)}
    form(b, "training step, 124M", entrants, folder)
    entrants = {"in blocks": ("picogpt", "adamw", True), "array by array": ("picogpt", "adamw", False)}
    form(b, "AdamW, 124M", entrants, folder)
    entrants = {"in parts": ("picogpt", "read_weights", folder, True)}
    entrants["by one call"] = "picogpt", "read_weights", folder, False
    form(b, "weights from disk, 124M", entrants, folder)


def form(b, title, entrants, folder):
    """Compare the first entrant with the second."""
    ours, plain = entrants
    b.compare(title, "ms", b.race(entrants, folder), {plain: None}, ours=ours)


@case
def growth(b):
    """Follow our times as the context, the batch, the model and the text to encode grow."""
    folder, length, n_new = b.model("124M"), b.pick(64, 16), b.pick(9, 3)

    def call(n_rows, length):
        return "picogpt", "decode", random_ids(n_rows, length), n_new

    contexts = b.pick((64, 128, 256, 512, 1000), (8, 16, 32, 64, 100))
    times = b.race({n: call(1, n) for n in contexts}, folder)
    b.follow("tokens of context", "ms per token", times, n_new - 1)
    times = b.race({n: call(n, length) for n in (1, 2, 4, 8, 16, 32)}, folder)
    b.follow("rows in a batch", "ms per step", times, n_new - 1)
    times = {}
    for size in ("124M", "355M", "774M"):
        n = n_params(b.hparams(size))
        if 3 * 4 * n < physical_memory():  # making it takes more than running it
            times |= b.race({n: call(1, length)}, b.model(size))
    b.follow("parameters", "ms per token", times, n_new - 1)
    lengths = [b.pick(10**6, 10**4) // n for n in (16, 8, 4, 2, 1)]
    b.follow("characters to encode", "ms", b.race({n: ("picogpt", "encode", english(n)) for n in lengths}))


def random_ids(n_rows, length):
    """Return rows of random ids: always the same ones, and none twice in a row."""
    rng = np.random.default_rng(3)
    return [rng.permutation(50256)[:length].tolist() for _ in range(n_rows)]


def looping_text(n_new):
    """Return the ids of a greedy text as GPT-2 is published to write it, and how many of them are the prompt.

    After the prompt come `n_new`; beyond the published ones, the loop in which they end goes on.
    """
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    [entry] = [entry for entry in published if entry["id"] == "trt-124"]
    ids = entry["prompt_ids"] + entry["ids"]
    period = next(p for p in range(1, len(ids)) if ids[-5:] == ids[-5 - p : -p])
    while len(ids) < len(entry["prompt_ids"]) + n_new:
        ids.append(ids[-period])
    return ids[: len(entry["prompt_ids"]) + n_new], len(entry["prompt_ids"])


def english(n):
    """Return the first `n` characters of tinyshakespeare."""
    return TEXT.read_text(encoding="utf-8")[:n]


def choose(words):
    """Return the cases that the words name, or begin, in the table's order; all for no words."""
    chosen = set() if words else set(CASES)
    for word in words:
        found = {word} & set(CASES) or {name for name in CASES if name.startswith(word)}
        if not found:
            command.usage_error(f"there is no case {word}; the cases are {', '.join(CASES)}")
        chosen |= found
    return [name for name in CASES if name in chosen]


def check_flags(c):
    """End the program for what would else fail when all has been measured."""
    for flag in ("rounds", "threads"):
        if getattr(c, flag) < 1:
            command.usage_error(f"--{flag} must be at least 1, not {getattr(c, flag)}")
    for path in filter(None, (c.json, c.markdown, c.plot)):
        if not Path(path).parent.is_dir():
            command.usage_error(f"{Path(path).parent} is not a folder: make it, or write to another")
    if c.plot and not importlib.util.find_spec("matplotlib"):
        log.error('--plot needs matplotlib: pip install -e ".[bench]"')
        sys.exit(1)
    if c.plot and Path(c.plot).suffix not in (".png", ".svg", ".pdf"):
        command.usage_error(f"--plot writes .png, .svg or .pdf, not {Path(c.plot).name}")


def measure(cases, threads, rounds, quick):
    """Run the cases; return all that they found, and whether all went well."""
    well = True
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        b = Bench(Path(folder), threads, rounds, quick)
        for name in cases:
            b.case = name
            log.warning("%s: %s", name, CASES[name].__doc__)
            try:
                CASES[name](b)
            except ValueError as error:  # the other cases can do without this one
                log.error("%s: %s", name, error)
                b.notes.append(f"{name} failed: {error}")
                well = False
        return b.results(), well


def main(argv=None):
    """Measure what the command line names, print the tables, and write the files that it asks for."""
    logging.basicConfig(format="bench: %(message)s", force=True)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = command.usage_error
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    for flag in ("--json", "--markdown", "--plot"):
        parser.add_argument(flag, default="")
    c = parser.parse_args(argv)
    if c.help:
        print(__doc__.format(cases=", ".join(CASES)))
        return
    check_flags(c)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # removes the models first
    try:
        results, well = measure(choose(c.cases), c.threads, 1 if c.quick else c.rounds, c.quick)
        print(bench_report.text(results))
        bench_report.write(results, c.json, c.markdown, c.plot)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        log.error(command.sentence(error))
        sys.exit(1)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    interrupt.quietly(main)
