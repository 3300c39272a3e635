"""A small model that learns in a thread of its own, and can be watched, paused and led step by step.

The training is that of `python -m picogpt.train`, and so is the folder that it leaves: --resume there goes on
with it. Only the learning rate may be another than the settings say, as the slider of the page has it.
"""

import collections
import dataclasses
import logging
import threading
import time

import numpy as np

from picogpt.explain import backwards, insides
from picogpt.explain.gather import pack
from picogpt.explain.tokens import token_text
from picogpt.gpt2 import gpt2
from picogpt.params.tree import walk
from picogpt.system import interrupt
from picogpt.text import data
from picogpt.train import journal, trainer
from picogpt.train.parallel import ALONE

log = logging.getLogger("picogpt")
EVERY = 2.0  # seconds between looks at attention and text
POINTS = 300  # of a curve
LOOKED_AT = 24  # tokens of the prompt whose attention is shown


class Turns:
    """A lock that goes to those who wait for it in the order in which they came.

    With Python's own, a thread that takes it again at once may keep all others waiting for long.
    """

    def __init__(self):
        self.queue, self.guard = collections.deque(), threading.Lock()

    def __enter__(self):
        """Wait until all who came before have been served."""
        turn = threading.Semaphore(0)
        with self.guard:
            self.queue.append(turn)
            if self.queue[0] is turn:
                turn.release()
        turn.acquire()

    def __exit__(self, *_):
        """Let the next one in."""
        with self.guard:
            self.queue.popleft()
            if self.queue:
                self.queue[0].release()


class Learning:
    """A training, as `prepare` has begun it, that goes on when it is told to."""

    def __init__(self, c, folder, state, hparams, encoder, splits, begin):
        """`c` are the Settings, completed; then what `prepare` returns, and what begins the folder.

        Nothing is written before the first step.
        """
        self.c, self.folder, self.state, self.hparams, self.encoder = c, folder, state, hparams, encoder
        self.splits, self.rate, self.curve, self.held_out, self.texts = splits, c.lr, [], [], []
        self.computing = Turns()  # held while the model is used
        self.may_go, self.left, self.ends = threading.Event(), 0, False  # left: steps until it pauses
        self.prompt = [int(i) for i in splits[0][: min(LOOKED_AT, hparams["n_ctx"])]]
        self.attention, self.lengths, self.looked, self.error = None, None, 0.0, ""
        self.begin, self.log = begin, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.look()
        self.thread.start()

    def do(self, what, value=None):
        """Start, pause, make one step, or set the rate. ValueError for anything else."""
        if what == "rate":
            if not isinstance(value, int | float) or not 0 < value < 1:
                raise ValueError(f"a learning rate must be more than 0 and less than 1, not {value}")
            self.rate = float(value)
        elif what in ("start", "pause", "step"):
            if not self.log:
                self.begin()
                self.log = journal.open_log(self.folder, self.state["step"])
            self.left = dict(start=self.c.steps, pause=0, step=1)[what]
            (self.may_go.clear if what == "pause" else self.may_go.set)()
            while what == "step" and self.may_go.is_set() and self.thread.is_alive():
                time.sleep(0.01)  # until it is made
        else:
            raise ValueError(f"{what!r} is nothing that the learning can do")

    @property
    def done(self):
        """Whether the last step is made."""
        return self.state["step"] >= self.c.steps

    def run(self):
        """Make steps while there are any to make: the thread's work."""
        gradients = trainer.language_model(self.hparams["n_head"])

        def measured(*args):
            loss, grads = gradients(*args)
            self.measure(grads)
            return loss, grads

        try:
            while not self.done and not self.ends:
                self.may_go.wait()
                if self.ends:
                    break
                with self.computing:
                    self.step(measured)
        except ValueError as error:
            self.error = str(error)
        self.may_go.clear()

    def step(self, gradients):
        """Make an update; evaluate and save as often as the settings say; look now and then."""
        c, state = self.c, self.state
        now = dataclasses.replace(c, lr=self.rate, min_lr=self.rate * c.lowest_lr / c.lr)
        record = trainer.update(state, now, self.draw, gradients)
        journal.write(self.log, record)
        self.curve.append([record["step"], record["loss"]])
        self.left -= 1
        if record["step"] % c.eval_every == 0 or self.done:
            self.save()
        pauses = self.left <= 0 or self.done
        if pauses or time.monotonic() - self.looked > EVERY:
            self.look()
        if pauses:
            self.may_go.clear()

    def draw(self, rng):
        """Return a batch."""
        return data.random_batch(self.splits[0], self.c.batch_size, self.hparams["n_ctx"], rng)

    def save(self):
        """Evaluate, and save model and state, as a training does."""
        trainer.save_progress(
            self.state, self.c, self.hparams, self.encoder, self.splits, self.folder, self.log, ALONE,
            interrupt.StopRequest("", 0),
        )  # fmt: skip

    def measure(self, grads):
        """Keep the lengths of the gradient of this very step."""
        arrays = backwards.lengths_of_arrays(grads)
        names = [path for path, _ in walk(grads)]
        heads, neurons = (
            backwards.lengths_of_heads(grads, self.hparams["n_head"]),
            backwards.lengths_of_neurons(grads),
        )
        largest = np.argsort(-neurons, axis=None)[:8]
        layers, places = np.unravel_index(largest, neurons.shape)
        self.lengths = dict(
            arrays=[[name, float(x)] for name, x in zip(names, arrays, strict=True)],
            heads=[[f"layer {n + 1}, head {h + 1}", float(heads[n, h])] for n, h in np.ndindex(heads.shape)],
            neurons=[
                [f"layer {n + 1}, neuron {i}", float(neurons[n, i])]
                for n, i in zip(layers, places, strict=True)
            ],
            layers=[
                [f"layer {n + 1}", float(backwards.length(*(g for _, g in walk(block))))]
                for n, block in enumerate(grads["blocks"])
            ],
        )

    def look(self):
        """See where the model looks in its prompt by now, and let it write a line."""
        acts, params = [], self.state["params"]
        gpt2([self.prompt], params, self.hparams["n_head"], acts=acts)
        self.attention = np.round(insides.attention_maps(params, acts) * 255).astype(np.uint8)
        text = trainer.sample_text(self.state, self.hparams, self.encoder, 60)
        self.texts = [*self.texts[-5:], [self.state["step"], text]]
        self.looked = time.monotonic()

    def report(self):
        """Return how it stands, as what JSON can hold."""
        curve = list(self.curve)
        some = curve[:: max(1, len(curve) // POINTS)] + curve[-1:]
        return dict(
            step=self.state["step"],
            steps=self.c.steps,
            running=self.may_go.is_set(),
            done=self.done,
            rate=self.rate,
            curve=some,
            texts=self.texts,
            lengths=self.lengths,
            attention=pack(self.attention),
            prompt=[token_text(self.encoder, i) for i in self.prompt],
            folder=str(self.folder),
            error=self.error,
            hparams=self.hparams,
        )

    def end(self):
        """Stop after the step that is being made, and save what was learned."""
        self.ends, self.left = True, 0
        self.may_go.set()
        self.thread.join()
        if self.log:
            if self.curve and not self.error:
                self.save()
            self.log.close()
