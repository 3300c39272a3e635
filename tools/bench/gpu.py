"""Check and measure picogpt on a graphics processor, in less than ten minutes, beside PyTorch there.

usage: python tools/bench/gpu.py [--minutes X] [--rounds N] [--out FOLDER] [--dry]

  --minutes X   for all of it; what the measurements leave is for the trainings (9)
  --rounds N    how often each time is taken, in turns (5)
  --out FOLDER  gpu.json, gpu.md and the trainings' folders go there (runs/gpu)
  --dry         without a card: the same steps on the tests' stand-in for its arrays, with tiny models and
                PyTorch on the CPU. What is computed is compared; the times mean nothing

It needs CuPy (pip install cupy-cuda12x), PyTorch for that card, and pytest. Three parts:

1. tests/core/test_device.py and tests/train/test_half.py, where none may be skipped for want of a card
2. forward and training step of 124M and of nanoGPT's model of characters, in float32 and with products in
   float16, beside PyTorch in float32 without TF32, and with autocast to float16. Logits and losses are
   compared before any time is taken
3. python -m picogpt.projects.chars --device gpu, with minGPT-tuned's recipes mingpt and tuned, for as many
   epochs as there is time, beside its published losses

Exit codes: 0 done, 1 error (say, a test fails, or results differ), 2 wrong usage.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "tools"), str(REPOSITORY / "tests" / "helpers")]  # rooms, and the stand-in
import numpy as np

from bench import report
from bench.ours import BETAS, CLIP, LR, WEIGHT_DECAY, PicoGPT, training_ids
from bench.peers import Torch
from picogpt.checkpoints import weights
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.shapes import SIZES
from picogpt.params.tree import tree_map, walk
from picogpt.system import command
from picogpt.system.files import atomic_write
from picogpt.text import data
from picogpt.train import half, optim

log = logging.getLogger("bench")
CHARACTERS = dict(n_vocab=65, n_ctx=64, n_embd=128, n_head=4, n_layer=4)
MODELS = {  # (hyper-parameters, rows and length of the forward, and of the training step)
    "124M": (SIZES["124M"], (8, 128), (4, 64)),
    "characters": (CHARACTERS, (12, 64), (12, 64)),
}
TINY = {"tiny": (CHARACTERS | dict(n_embd=32, n_layer=2), (2, 16), (2, 16))}
TESTS = ["tests/core/test_device.py", "tests/train/test_half.py"]


class Card:
    """Where arrays lie: on a card, by CuPy, or in a dry run behind the stand-in."""

    def __init__(self, dry):
        self.dry, self.torch_device = dry, "cpu" if dry else "cuda"
        if dry:
            from strict_array import StrictArray

            self.put, self.name = lambda a: StrictArray(np.array(a)), "stand-in for a card"
            return
        try:
            import cupy
        except ImportError:
            raise ValueError("this needs CuPy: pip install cupy-cuda12x; --dry does without") from None

        self.put, self.cupy = cupy.asarray, cupy
        self.name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()

    def wait(self):
        """Return once all that was asked of the card is done."""
        if not self.dry:
            import torch

            self.cupy.cuda.Device().synchronize()
            torch.cuda.synchronize()


class Ours:
    """picogpt on the card; `float16` says in what its products are."""

    def __init__(self, card, folder, float16):
        params, hparams, _ = weights.load(folder)
        self.card, self.n_head, self.step_number = card, hparams["n_head"], 0
        self.params = tree_map(card.put, params)
        self.moments, self.scale = optim.adamw_init(self.params), half.LossScale() if float16 else None

    def logits(self, ids):
        """Return the logits after each row, [B, V]."""
        params = tree_map(half.Half, self.params) if self.scale else self.params
        return half.bare(gpt2(ids, params, self.n_head, n_last=1))[:, 0]

    def step(self, ids, targets):
        """Make a training step; return the loss."""
        if self.scale:
            loss, grads = half.half_loss_and_grads(self.params, ids, targets, self.n_head, self.scale)
        else:
            loss, grads = loss_and_grads(self.params, ids, targets, self.n_head)
        optim.clip(grads, CLIP)
        self.step_number += 1
        how = dict(betas=BETAS, weight_decay=WEIGHT_DECAY, measure=False)
        optim.adamw_step(self.params, grads, self.moments, self.step_number, LR, **how)
        return float(loss)

    def back(self, logits):
        """Return an array in NumPy's memory."""
        return logits.get()


class Theirs(Torch):
    """PyTorch on the card: nanoGPT's model, as in the benchmark on CPUs."""

    def __init__(self, card, folder, float16):
        import torch

        super().__init__(fused=not card.dry)
        torch.backends.cuda.matmul.allow_tf32 = False
        self.load(folder)
        self.device = card.torch_device
        self.params = tree_map(lambda w: w.to(self.device).requires_grad_(), self.params)
        leaves = [w for _, w in walk(self.params)]
        groups = [
            dict(params=[w for w in leaves if (w.ndim > 1) == (decay > 0)], weight_decay=decay)
            for decay in (WEIGHT_DECAY, 0.0)
        ]
        self.leaves, self.torch = leaves, torch
        self.adamw = torch.optim.AdamW(groups, lr=LR, betas=BETAS, fused=self.fused or None)
        self.scaler = torch.amp.GradScaler(self.device, enabled=float16)
        self.cast = lambda: torch.autocast(self.device, torch.float16, enabled=float16)

    def logits(self, ids):
        """Return the logits after each row, [B, V]."""
        with self.torch.inference_mode(), self.cast():
            return self.forward(self.torch.tensor(ids, device=self.device))

    def step(self, ids, targets):
        """Make a training step; return the loss."""
        self.adamw.zero_grad(set_to_none=True)
        with self.cast():
            loss = self.forward(*(self.torch.tensor(a, device=self.device) for a in (ids, targets)))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.adamw)
        self.torch.nn.utils.clip_grad_norm_(self.leaves, CLIP)
        self.scaler.step(self.adamw)
        self.scaler.update()
        return loss.item()

    def back(self, logits):
        """Return an array in NumPy's memory."""
        return logits.float().cpu().numpy()


def check_tests(dry):
    """Run the tests of arrays that are not NumPy's; raise ValueError if one fails or finds no card."""
    words = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(words + ["-k", "not gpu"] * dry, cwd=REPOSITORY, capture_output=True, text=True)
    said = done.stdout.strip().splitlines()
    log.warning("tests: %s", said[-1])
    if done.returncode or (not dry and "skipped" in said[-1]):
        raise ValueError("tests fail, or find no card:\n" + "\n".join(said[-20:]))
    return said[-1]


def compare(card, folder, name, model, rounds):
    """Return the rows of a table: the times of forward and training step, ours beside PyTorch's."""
    hparams, forward, training = model
    PicoGPT().make(folder / name, hparams)
    ids, found = training_ids(hparams["n_vocab"]), []
    prompts, _ = data.random_batch(ids, *forward, np.random.default_rng(3))
    for float16 in (False, True):
        both = [kind(card, folder / name, float16) for kind in (Ours, Theirs)]
        ours, theirs = (engine.back(engine.logits(prompts)) for engine in both)
        off, bound = np.abs(ours - theirs).max(), 0.1 if float16 else 1e-3
        batch = data.random_batch(ids, *training, np.random.default_rng(2))
        losses = [engine.step(*batch) for engine in both]
        apart = abs(losses[0] - losses[1])
        if not (off < bound and apart < bound):
            raise ValueError(
                f"{name}: {off:.4f} and {apart:.4f} between our logits, and losses, and PyTorch's"
            )
        log.warning("%s: logits differ by up to %.1e, losses by %.1e", name, off, apart)
        kind = "float16 products" if float16 else "float32"
        for what, call in (("forward", "logits"), ("training step", "step")):
            seconds = in_turns(card, both, call, prompts, ids, training, rounds)
            title = f"{what} {name}, {kind}"
            found.append(report.row(title, "ms", seconds[0], "PyTorch", seconds[1], None))
    return found


def in_turns(card, engines, call, prompts, ids, training, rounds):
    """Return [seconds] of each engine, which take turns; the first turn is to warm up."""
    seconds, rng = [[] for _ in engines], np.random.default_rng(4)
    for n in range(rounds + 1):
        batch = data.random_batch(ids, *training, rng)
        for engine, taken in zip(engines, seconds, strict=True):
            card.wait()
            started = time.perf_counter()
            getattr(engine, call)(*([prompts] if call == "logits" else batch))
            card.wait()
            if n:
                taken.append(time.perf_counter() - started)
    return seconds


def train_chars(out, minutes, dry):
    """Train by minGPT-tuned's two recipes for half of the minutes each; return their results."""
    found = {}
    for recipe in ("mingpt", "tuned"):
        folder = out / recipe
        words = [sys.executable, "-m", "picogpt.projects.chars", "--recipe", recipe, "--out", str(folder)]
        words += [
            "--minutes",
            str(max(0.02, minutes / 2)),
            "--device",
            "cpu" if dry else "gpu",
            "--overwrite",
        ]
        words += ["--n_embd", "16", "--n_ctx", "8", "--batch_size", "4", "--epochs", "1"] * dry
        done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{recipe}: {done.stderr.strip()[-500:]}")
        found[recipe] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def main(argv=None):
    """Check and measure as the docstring of this module says."""
    logging.basicConfig(format="bench: %(message)s", force=True)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = command.usage_error
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    for flag in ("--dry", "--help", "-h"):
        parser.add_argument(flag, action="store_true")
    c = parser.parse_args(argv)
    if c.help or c.h:
        print(__doc__)
        return
    end, card = time.monotonic() + 60 * c.minutes, Card(c.dry)
    c.out.mkdir(parents=True, exist_ok=True)
    tests, rows = check_tests(c.dry), []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, model in (TINY if c.dry else MODELS).items():
            rows += compare(card, Path(folder), name, model, c.rounds)
    trained = train_chars(c.out, (end - time.monotonic()) / 60, c.dry)
    table = report.pipes(report.HEADER, list(map(report.cells, rows)))
    medians = {recipe: result["results"] for recipe, result in trained.items()}
    text = f"{card.name}{' (dry: the times mean nothing)' if c.dry else ''}; {tests}\n\n{table}\n"
    whole = dict(card=card.name, dry=c.dry, tests=tests, rows=rows, trained=medians)
    for name, content in (("gpu.json", json.dumps(whole, indent=1)), ("gpu.md", text)):
        with atomic_write(c.out / name) as file:
            file.write(content.encode())
    print(text)
    for recipe, result in medians.items():
        print(f"{recipe}: {result['stopped after']}, loss {result['loss at the end']:.4f}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        log.error("%s", error)
        sys.exit(1)
