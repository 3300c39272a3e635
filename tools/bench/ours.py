"""What an engine of bench.py is, and ours, with the limits that NumPy sets to it.

An engine has those of these methods that it can do. The clock stands still while they prepare, and what the
comparisons are about is returned beside the seconds:

    convert(folder)                           write the weights in the engine's own format, once
    load(folder)                              make the model in that folder ready
    decode(prompts, n_new) -> seconds, ids    greedy; the seconds run from the first new token to the last
    logits(prompts) -> seconds, logits        after the last token of each prompt, [B, V]
    prefill(prompts) -> seconds, ids          the likeliest next id of each prompt
    train(batch_size, n_ctx, n_steps) -> seconds, losses
    encode(text) -> seconds, ids              by a new tokenizer, whose cache is still empty
    start(folder, prompt) -> seconds, text    of a whole new process that writes one token
    memory() -> bytes                         the most that the process has held

All draw the same training batches, clip gradients to the length 1 and decay matrices only, as nanoGPT does.
"""

import functools
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from picogpt import generate, gpt2, grad
from picogpt.checkpoints import in_place, safetensors, weights
from picogpt.params.init import init_params
from picogpt.params.narrow import Matrix, is_matrix, narrow
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import nest, tree_map, walk
from picogpt.speed import compiled, shards
from picogpt.system import machine
from picogpt.text import bpe, data
from picogpt.train import optim, parallel, trainer
from picogpt.train.settings import Recipe

LR, BETAS, WEIGHT_DECAY, CLIP = 6e-4, (0.9, 0.95), 0.1, 1.0


def threads():
    """Return how many threads bench.py gave to every engine."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count())


def timed(function, *arguments):
    """Return how many seconds a call took, and what it returned."""
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


@functools.cache
def training_ids(n_vocab):
    """Return random ids to train on."""
    return np.random.default_rng(1).integers(0, n_vocab, 10_000)


class Engine:
    """What all engines share."""

    needs = ()  # what pip installs for it
    logits_off = 2e-4  # by how much its logits, of standard deviation 1, may differ from ours by rounding

    def convert(self, folder):
        """Write nothing: an engine without a format of its own reads picogpt's."""

    def prefill(self, prompts):
        """Return the likeliest next id of each prompt."""
        seconds, logits = self.logits(prompts)
        return seconds, logits.argmax(axis=-1).tolist()

    def start(self, folder, prompt):
        """Run a new process for one token after the prompt."""
        words = self.command(folder, prompt)
        seconds, done = timed(lambda: subprocess.run(words, capture_output=True, text=True))
        if done.returncode:
            raise ValueError(done.stderr.strip())
        return seconds, done.stdout.strip()

    def memory(self):
        """Return the most memory that this process has held, in bytes."""
        return machine.peak_memory()


def calls(comm):
    """Yield the calls that come from stdin until that ends: to the first process, which tells the others.

    These look for one a thousand times a second. MPI's own waiting would take a core from the next in turn.
    """
    while True:
        if comm.rank == 0:
            try:
                call = pickle.load(sys.stdin.buffer)
            except EOFError:
                call = None
            for other in range(1, comm.size):
                comm.send(call, other)
        else:
            while not comm.iprobe(source=0):
                time.sleep(0.001)
            call = comm.recv(source=0)
        if call is None:
            return
        yield call


class PicoGPT(Engine):
    """Ours, and the limits that NumPy sets to it: they are measured in its process."""

    needs = ("numpy",)

    def __init__(self, keep=True, dtype="float32"):
        """Hold matrices in a dtype; train in memory that is kept, as the trainer does, or given back."""
        self.keep, self.dtype = keep, dtype

    def make(self, folder, hparams):
        """Write the folder of a random model, with GPT-2's tokenizer if its vocabulary is GPT-2's.

        Matrices are four times and embeddings twice as large as in an untrained GPT-2, whose greedy text is
        one token over and over: so the text is varied, and shows what an engine computes.
        """
        encoder = bpe.load_encoder(weights.shipped("gpt2-bpe"))
        params = init_params(hparams, np.random.default_rng(0))
        for path, w in walk(params):
            if w.ndim > 1:
                w *= 4 if path.endswith(".w") else 2
        weights.save(folder, params, hparams, encoder if encoder.n_vocab == hparams["n_vocab"] else None)

    def make_large(self, folder, hparams):
        """Write the folder of a model in this dtype, with no more memory than that takes.

        Its numbers are a million random ones, over and over: it is there for its size.
        """
        numbers, flat = 0.02 * np.random.default_rng(0).standard_normal(2**20, np.float32), {}
        for path, shape in walk(param_shapes(**hparams)):
            array = np.resize(numbers, shape) if len(shape) > 1 else np.ones(shape, np.float32)
            flat |= narrow({path: array}, self.dtype) if is_matrix(path) else {path: array}
        weights.save(folder, nest(flat), hparams)

    def load(self, folder):
        """Read the folder into memory, to compute from with NumPy alone."""
        compiled.turn_off()
        self.params, self.hparams, _ = weights.load(folder, dtype=self.dtype)
        self.n_head, self.training = self.hparams["n_head"], None

    def decode(self, prompts, n_new, lookup=False):
        """Generate greedily, every token by a step of its own unless `lookup`."""
        guesser = None if lookup else False  # None is the default: a lookup
        steps = generate.stream(self.params, self.n_head, prompts, n_new, guesser=guesser)
        first = next(steps)
        seconds, rest = timed(list, steps)
        return seconds, np.transpose([first, *rest]).tolist()

    def logits(self, prompts):
        """Read the prompts without a cache."""
        return timed(lambda: gpt2.gpt2(prompts, self.params, self.n_head)[:, -1])

    def prefill(self, prompts):
        """Generate one token, as a user would."""
        seconds, new = timed(generate.generate, self.params, self.n_head, prompts, 1)
        return seconds, [i for [i] in new]

    def command(self, folder, prompt):
        """Return the words of a command line that continues the prompt by one token."""
        return [sys.executable, "-m", "picogpt", prompt, "--model", str(folder), "--n", "1"]

    def gaps(self, prompt, new):
        """Return by how much the logit of each token of `new` falls short of the largest at its place."""
        logits = gpt2.gpt2([prompt + new[:-1]], self.params, self.n_head)[0, len(prompt) - 1 :]  # [T, V]
        return logits.max(axis=-1) - logits[np.arange(len(new)), new]

    def dictate(self, text):
        """Change the position embeddings so that the greedy text is `text`, whatever came before.

        They are made so long, in the direction of the next token's embedding, that nothing outshouts them.
        """
        self.params["wpe"][: len(text) - 1] = 1000 * self.params["wte"][text[1:]]

    def train(self, batch_size, n_ctx, n_steps):
        """Make steps by the trainer's own `update`."""
        c = Recipe(
            steps=10**6, lr=LR, min_lr=LR, warmup=0, beta1=BETAS[0], beta2=BETAS[1],
            weight_decay=WEIGHT_DECAY, clip=CLIP,
        )  # fmt: skip
        if self.training is None:
            if self.keep:
                machine.keep_memory()
            self.training = trainer.begin(self.params, seed=2)
            self.training["rng"] = np.random.default_rng(2)  # which draws the peers' batches too
        draw = functools.partial(data.random_batch, training_ids(self.hparams["n_vocab"]), batch_size, n_ctx)
        comm = parallel.world()
        gradients = trainer.language_model(self.n_head, comm)
        return timed(
            lambda: [trainer.update(self.training, c, draw, gradients, comm)["loss"] for _ in range(n_steps)]
        )

    def prefill_in_one(self, prompts):
        """Read the prompts by one call, as prefill.read is defined."""
        cache = gpt2.KVCache(self.params, self.n_head, len(prompts), len(prompts[0]))
        return timed(lambda: gpt2.gpt2(prompts, self.params, self.n_head, cache, n_last=1).argmax(axis=-1))

    def gradients(self, batch_size, n_ctx, in_parts):
        """Find the gradients of a batch: in parts, or as these are defined."""
        machine.keep_memory()
        find = shards.batch_gradients if in_parts else grad.loss_and_grads
        ids = training_ids(self.hparams["n_vocab"])
        x, y = data.random_batch(ids, batch_size, n_ctx, np.random.default_rng(2))
        seconds, (loss, _) = timed(find, self.params, x, y, self.n_head)
        return seconds, round(float(loss), 5)

    def adamw(self, in_blocks):
        """Make an AdamW step: in blocks, on all cores, or array by array as its docstring defines it."""
        if self.training is None:
            self.training = optim.adamw_init(self.params), tree_map(np.ones_like, self.params)
        moments, grads = self.training

        def define(w, g, m, v):
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.95 * v + 0.05 * g**2
            w -= LR * (m / (1 - 0.9) / (np.sqrt(v / (1 - 0.95)) + 1e-8) + 0.1 * w)

        if in_blocks:
            return timed(optim.adamw_step, self.params, grads, moments, 1, LR)
        return timed(tree_map, define, self.params, grads, moments["m"], moments["v"])

    def read_weights(self, folder, in_parts):
        """Read the file of weights: in parts, on all cores, or by one call."""
        path = Path(folder, weights.WEIGHTS)
        seconds, _ = timed(safetensors.read, path) if in_parts else timed(np.fromfile, path, np.uint8)
        return seconds, None

    def encode(self, text):
        """Encode by the tokenizer in pure Python."""
        return timed(bpe.load_encoder(weights.shipped("gpt2-bpe")).encode, text)

    def gemvs(self, n):
        """Multiply one vector by each matrix that a decode step needs, and do nothing else; n times."""
        matrices = [w for path, w in walk(self.params) if path.endswith(".w")] + [self.params["wte"].T]
        vectors = [np.ones(len(w), np.float32) for w in matrices]

        def multiply():
            for x, w in zip(vectors * n, matrices * n, strict=True):
                np.matmul(x, w)

        return timed(multiply)

    def read(self, n_bytes):
        """Read one large matrix: its product with a vector."""
        return steady(np.matmul, np.ones((n_bytes // 2**14, 2**12), np.float32), np.ones(2**12, np.float32))

    def sgemm(self, n):
        """Multiply two matrices of n x n."""
        a, b = np.random.default_rng(4).standard_normal((2, n, n), np.float32)
        return steady(np.matmul, a, b, np.empty_like(a))


class Fast(PicoGPT):
    """Ours with the compiled products, as the command line comes to use them in a long text."""

    needs = ("numpy", "numba")

    def load(self, folder):
        """Read the folder, lay out float32 as the products read it, and wait for them."""
        self.params, self.hparams, _ = weights.load(folder, dtype=self.dtype, mapped=True)
        if self.dtype == "float32":
            in_place.move(self.params, compiled.place)
        self.n_head, self.training = self.hparams["n_head"], None
        compiled.fetch(self.params["wte"].rows.dtype).join()
        if not compiled.in_use():
            raise ValueError("the compiled products could not be fetched")

    def gemvs(self, n):
        """Multiply one vector by each matrix that a decode step needs, and do nothing else; n times."""
        matrices = [
            w.T if w is self.params["wte"] else w for _, w in walk(self.params) if isinstance(w, Matrix)
        ]
        vectors = [np.ones((1, len(w)), np.float32) for w in matrices]
        return timed(lambda: [x @ w for x, w in zip(vectors * n, matrices * n, strict=True)] and None)


def steady(function, *arguments):
    """Return how many seconds a call took, of two the second: the first finds BLAS's threads asleep."""
    function(*arguments)
    return timed(function, *arguments)[0], None
