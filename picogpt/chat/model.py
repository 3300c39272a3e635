"""A model in three lines: what one does with it most, over the functions that one reads.

>>> import picogpt
>>> model = picogpt.load("tales")
>>> text = model.generate("Once upon a time", n=5)

Each method is a few lines over `generate.py`, `gpt2.py` and the tokenizer; `params`, `hparams` and `encoder`
are there for all else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from picogpt.checkpoints import generation_config, weights
from picogpt.evaluate.scoring import rolling_log_probs
from picogpt.generate import Choice, stream
from picogpt.gpt2 import gpt2
from picogpt.text.stop import stop_at, until


@dataclass(frozen=True)
class Model:
    """A GPT-2 with its tokenizer."""

    params: dict  # the tree of arrays, see params/shapes.py
    hparams: dict  # n_vocab, n_ctx, n_embd, n_head, n_layer
    encoder: object  # the tokenizer: encode, decode, stream
    name: str
    usage: dict = field(default_factory=dict)  # what its generation_config.json says

    @property
    def ends(self) -> tuple:
        """The ids at which a text is over."""
        return tuple(generation_config.ends(self.usage))

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text; of an empty one the id that begins a document."""
        return self.encoder.encode(text) or [self.encoder.start]

    def stream(self, prompt: str = "", n: int | None = None, stop: tuple = (), **choice) -> Iterator[str]:
        """Yield the continuation of a prompt piece by piece, as it arises.

        It has at most `n` tokens and ends before the first of the texts in `stop`, or where the model ends
        it. **choice: temperature, top_k, top_p, top_p_rule, seed ..., see `generate.Choice`. What is not
        given is as the model's generation_config.json says, as on the command line; without one 40 tokens,
        greedy, or by the probabilities with top_k, top_p or seed. ValueError for a prompt longer than the
        context, or a choice that means nothing.
        """
        return self.stream_ids(self.ids(prompt), n, stop, **choice)

    def stream_ids(
        self, ids: list[int], n: int | None = None, stop: tuple = (), ends: tuple | None = None, **choice
    ) -> Iterator[str]:
        """Do as `stream`, after the ids of a prompt; `ends` in place of those of the model."""
        stop, ends = (stop,) if isinstance(stop, str) else tuple(stop), self.ends if ends is None else ends
        n = generation_config.n_new(self.usage, n, len(ids))
        chosen = Choice(**generation_config.choice(self.usage, **choice), seed=choice.get("seed"))
        finished = stop_at(self.encoder, ends, stop) if stop or ends else None
        steps = stream(self.params, self.hparams["n_head"], [ids], n, chosen, finished)
        return until(self.encoder.stream(i for [i] in steps if i not in ends), stop)

    def generate(self, prompt: str = "", n: int | None = None, stop: tuple = (), **choice) -> str:
        """Return the continuation of a prompt, without the prompt; see `stream`."""
        return "".join(self.stream(prompt, n, stop, **choice))

    def logits(self, text: str) -> np.ndarray:
        """Return the logits [T, V] of the next token after each token of a text, of at most n_ctx tokens."""
        return gpt2([self.ids(text)], self.params, self.hparams["n_head"])[0]

    def score(self, text: str) -> list[tuple[str, float]]:
        """Return each token's text and log-probability, in nats; the first stands at a document's beginning.

        A text longer than the context is scored in windows, as `python -m picogpt.evaluate --score` does.
        """
        ids = self.encoder.encode(text)
        log_probs = rolling_log_probs(self.params, self.hparams["n_head"], [self.encoder.start, *ids])
        return [(self.encoder.decode([i]), float(p)) for i, p in zip(ids, log_probs, strict=True)]

    def chat(self, template: str | None = None, **settings):
        r"""Return a conversation with the model: `chat.say("Hello")` yields the answer piece by piece.

        `template` is the form of a turn, such as "User: {user}\nBot:"; without it, the model's own, if its
        folder has one. settings: n, and the choice of each token. See chat/talk.py.
        """
        from picogpt.chat import talk  # which takes a Model

        return talk.Chat(self, talk.choose_template(self, template), **settings)


def load(
    model: str = "tales", models_dir: str = "models", special: bool = False, plain: bool = False, **source
) -> Model:
    """Return a model: "tales", the small one that comes with picogpt, a folder, or "124M", "355M" ...

    A size that `models_dir` lacks is downloaded, see `weights.load`, which also says what is raised and what
    `source`, `offline` and `dtype` mean. special: control tokens in a text, say <|endoftext|>, are their ids.
    plain: leave the model's generation_config.json aside.
    """
    where = {name: source[name] for name in ("source", "offline") if name in source}
    folder = weights.find(model, models_dir, **where)
    loaded = weights.load_with_encoder(folder, models_dir, special=special, **source)
    return Model(*loaded, name=str(model), usage={} if plain else generation_config.read(folder))
