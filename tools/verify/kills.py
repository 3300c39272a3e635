"""Kill each command that writes, at random moments, and see that it begins or resumes to the same bytes.

usage: python tools/verify/kills.py [COMMAND ...] [--n N] [--seed N]

  COMMAND          which ones (all of them; --help lists them)
  --n N            how many times each is killed (50)
  --seed N         of the moments (0)

Each command is run once to its end. Then it is started again and again in an empty folder, killed by
SIGKILL at a moment drawn from the time that it takes, and called once more: with --resume where there is a
state, else as before. Its folder must then hold the same files with the same sha256, but for times, and no
others. States are saved after each update, so that many of the moments lie amid a save.

The commands run in forks of this process, which spares them the imports, during which they write nothing. Not
for Windows, which has no forks. Exit codes: 0 all the same, 1 not so, 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import argparse
import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from picogpt.checkpoints import weights
from picogpt.checkpoints.download import download
from picogpt.finetune.classify import classify
from picogpt.finetune.cli import finetune
from picogpt.params.init import init_params
from picogpt.projects.adder import adder
from picogpt.projects.chars import chars
from picogpt.projects.images import images
from picogpt.projects.masked_images import masked_images
from picogpt.projects.sorter import sorter
from picogpt.projects.talk import talk
from picogpt.projects.words import words
from picogpt.system import command, machine
from picogpt.text import bpe_train
from picogpt.text.chars import CharEncoder
from picogpt.train import runs, trainer
from picogpt.train.cli import flags_file, train
from picogpt.train.state import STATE

sys.path.insert(0, str(Path(__file__).parents[1]))
from convert import convert

TINY = "--n_layer=1 --n_head=2 --n_embd=16 --threads=1"
TUNED = "--model=base --threads=1 --batch_size=4 --dropout=0.1"
PROJECTS = {
    "adder": (adder, f"{TINY} --n_digit=1 --steps=12 --batch_size=8 --eval_every=5"),
    "sorter": (sorter, f"{TINY} --length=3 --n_digits=2 --steps=12 --batch_size=4"),
    "chars": (chars, f"text {TINY} --recipe=mingpt --epochs=1 --n_ctx=8 --batch_size=25"),
    "words, and its tokenizer": (words, f"text {TINY} --n_vocab=280 --n_ctx=8 --steps=12 --n_sample=9"),
    "finetune": (finetune, f"text {TUNED} --steps=10 --eval_every=4"),
    "finetune --lora --adapters": (finetune, f"text {TUNED} --steps=10 --lora=2 --adapters=3"),
    "images": (images, f"{TINY} --steps=12 --batch_size=4 --n_test=20 --n_probe=40"),
    "masked images": (masked_images, f"{TINY} --steps=12 --batch_size=4 --n_test=20 --n_probe=40"),
    "talk": (
        talk,
        "stories --model=teller --threads=1 --batch_size=4 --steps=10 --n_words=1 --n_test=2 --val_share=0.3",
    ),
    "classify": (classify, f"labelled.jsonl --test=labelled.jsonl {TUNED} --epochs=2"),
}
KINDS = "picogpt", "hf", "tf", "llmc", "gguf"
LARGE = ".safetensors", ".part", ".bin", ".gguf", ".data-00000-of-00001"  # what ends so is not nothing
FILE = b"What is fetched, in several pieces. " * 30_000  # 1 MB


def project(function, flags, out):
    """Run a project, from its state if there is one."""
    resume = Path(out, STATE).is_file()
    argv = ["--resume"] if resume else flags.split()
    command.run(function, [*argv, f"--out={out}"], config=runs.flags_file(function))


def training(flags, out):
    """Run a training, from its state if there is one."""
    resume = Path(out, STATE).is_file()
    argv = ["--resume"] if resume else f"text {TINY} --n_ctx=8 --batch_size=4 {flags}".split()
    command.run(train, [*argv, f"--out={out}"], config=flags_file)


def conversion(kind, out):
    """Convert a model; into a folder that is whole that is refused."""
    whole = {"hf": "config.json", "llmc": "model.bin", "gguf": "model.gguf"}.get(kind, "hparams.json")
    was_whole = Path(out, whole).is_file()
    try:
        model = {"picogpt": "theirs", "gguf": "teller"}.get(kind, "base")
        command.run(convert, [model, f"--to={kind}", f"--out={out}"])
    except SystemExit as end:
        sys.exit(0 if was_whole and end.code == 1 else end.code)


def fetch(url, out):
    """Download a file."""
    download(url, Path(out, "file"), len(FILE), hashlib.sha256(FILE).hexdigest())


def commands(url):
    """Return {what a command is called: its function of a folder}."""
    flags = "--steps=12 --eval_every=5 --eval_batches=1 --sample_every=5"
    return {
        "train": functools.partial(training, flags),
        "train --tokenizer gpt2": functools.partial(training, f"{flags} --tokenizer=gpt2 --n_vocab=300"),
        **{name: functools.partial(project, *way) for name, way in PROJECTS.items()},
        **{f"convert --to {kind}": functools.partial(conversion, kind) for kind in KINDS},
        "download": functools.partial(fetch, url),
    }


class Server(http.server.BaseHTTPRequestHandler):
    """Serves the one file, from any byte on."""

    def do_GET(self):
        """Answer a request, also for a part."""
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(FILE) - 1}/{len(FILE)}")
        self.send_header("Content-Length", str(len(FILE) - begin))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has been killed
            self.wfile.write(FILE[begin:])

    def log_message(self, *_):
        """Log nothing."""


def prepare():
    """Write into the current folder what the commands need."""
    text = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer\n" * 30
    Path("text").write_text(text, encoding="utf-8")
    records = [json.dumps(dict(text=f"{word} {n}", label=word)) for n in range(8) for word in ("to", "be")]
    Path("labelled.jsonl").write_text("\n".join(records), encoding="utf-8")
    encoder = CharEncoder.from_text(text + "".join(records))
    hparams = dict(n_vocab=encoder.n_vocab, n_ctx=16, n_embd=16, n_head=2, n_layer=1)
    weights.save("base", init_params(hparams, np.random.default_rng(0)), hparams, encoder)
    run_to_its_end(functools.partial(conversion, "tf"), "theirs")
    things = [
        f"{name} saw a {thing}." for name in ("Tim", "Sue", "Ann") for thing in ("kite", "drum", "boat")
    ]
    stories = [f"One day, {a} Then {b} They saw it again." for a in things for b in things]
    Path("stories").write_text("\n<|endoftext|>\n".join(stories), encoding="utf-8")
    encoder = bpe_train.train("\n".join(stories), 290)
    hparams |= dict(n_vocab=encoder.n_vocab, n_ctx=64)
    weights.save("teller", init_params(hparams, np.random.default_rng(0)), hparams, encoder)


def start(function, out):
    """Run a command in a fork; return its process id."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        silence = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        trainer.SAVE_EVERY = 0
        function(str(out))
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        from picogpt.system import folders

        folders.release_all()  # as a process that ends does
        os._exit(code or 0)


def run_to_its_end(function, out):
    """Run a command; return how many seconds it took."""
    began = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(start(function, out), 0)[1])
    if code:
        raise ValueError(f"exit code {code}: {Path('said').read_text(encoding='utf-8').strip()[-300:]}")
    return time.monotonic() - began


def contents(folder):
    """Return {file: its sha256}, of JSON without times and the folder's own name."""

    def timeless(found):
        if isinstance(found, list):
            return [timeless(item) for item in found]
        if isinstance(found, dict):
            kept = {key for key in found if key not in ("out", "command") and "seconds" not in key}
            return {key: timeless(found[key]) for key in kept}
        return found

    found = {}
    for path in Path(folder).iterdir():
        content = path.read_bytes()
        if path.name in ("log.jsonl", "result.json"):
            lines = content.splitlines() if path.suffix == ".jsonl" else [content]
            content = json.dumps([timeless(json.loads(line)) for line in lines], sort_keys=True).encode()
        found[path.name] = hashlib.sha256(content).hexdigest()
    return found


def kill(function, n, rng):
    """Kill a command n times; return how often nothing was there, or some, and how often all came right."""
    seconds, right = run_to_its_end(function, "whole"), contents("whole")
    counts = dict(begun=0, resumed=0, same=0)
    for _ in range(20 * n):
        if counts["begun"] + counts["resumed"] == n:
            break
        shutil.rmtree("out", ignore_errors=True)
        pid = start(function, "out")
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            continue  # it was quicker
        names = [path.name for path in Path("out").iterdir()] if Path("out").is_dir() else []
        counts["resumed" if any(name.endswith(LARGE) for name in names) else "begun"] += 1
        try:
            seconds = 0.9 * seconds + 0.1 * max(seconds / 4, run_to_its_end(function, "out"))
            counts["same"] += contents("out") == right
        except ValueError as error:
            print(f"  {error}", flush=True)
    shutil.rmtree("out", ignore_errors=True)
    shutil.rmtree("whole")
    return counts


def main():
    """Read the flags, kill, and tell."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ways = commands(f"http://127.0.0.1:{server.server_port}/file")
        parser = argparse.ArgumentParser(usage=__doc__.partition("usage: ")[2] + "\n" + "\n".join(ways))
        parser.add_argument("names", nargs="*", choices=[*ways, []])
        parser.add_argument("--n", type=int, default=50)
        parser.add_argument("--seed", type=int, default=0)
        c = parser.parse_args()
        machine.set_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            prepare()
            wrong = 0
            for name in c.names or ways:
                found = kill(ways[name], c.n, np.random.default_rng(c.seed))
                n = found["begun"] + found["resumed"]
                wrong += n - found["same"]
                said = f"{found['begun']} with nothing there yet, {found['resumed']} with some"
                print(f"{name}: killed {n} times, {said}; the same bytes {found['same']} times", flush=True)
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    interrupt.quietly(main)
