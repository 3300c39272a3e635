"""From logits to text: read the prompt, choose a token, feed it back, go on."""

import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from picogpt.choose.preferences import Preferences
from picogpt.gpt2 import KVCache, gpt2
from picogpt.ops import softmax
from picogpt.speed import compiled
from picogpt.speed.guess import Guesser, Lookup, Speculation
from picogpt.speed.prefill import prefill

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice(Preferences):
    """How the next token is chosen from its logits: greedily, unless a temperature says otherwise.

    More settings, such as repetition_penalty, are in choose/preferences.py. Raises ValueError, naming the
    value, for settings that mean nothing.
    """

    temperature: float = 0.0  # divides the logits: below 1 the likely becomes likelier; 0: greedy
    top_k: int = 0  # draw from the k likeliest tokens; 0: from all
    top_p: float = 1.0  # draw from the likeliest tokens whose probabilities together reach p; 1: from all
    top_p_rule: str = "openai"  # whether the token that crosses p is left out, "openai", or kept, "hf"
    seed: int | None = None  # the same seed draws the same tokens; None: others on each run

    def __post_init__(self):
        """Check the settings."""
        super().__post_init__()
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be 0 (greedy) or a positive number, not {self.temperature}")
        if not isinstance(self.top_k, int | np.integer) or self.top_k < 0:
            raise ValueError(
                f"top_k must be a whole number, at least 1, or 0 for all tokens, not {self.top_k}"
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be more than 0 and at most 1, not {self.top_p}")
        if self.top_p_rule not in ("openai", "hf"):
            raise ValueError(f"top_p_rule must be openai or hf, not {self.top_p_rule}")

    def generators(self, n):
        """Return a random generator for each of n rows; a row draws the same whatever the rows after it."""
        if self.temperature == 0:
            return []  # nothing is drawn; NumPy imports its generators when they are first asked for
        return [np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(n)]


GREEDY = Choice()


def keep_top_k(logits, k):
    """Hide all but the k largest logits of each row; others equal to the k-th stay too, as at OpenAI.

    >>> keep_top_k(np.array([[1.0, 3.0, 2.0, 2.0]]), 2)
    array([[-inf,   3.,   2.,   2.]])
    """
    if not 0 < k < logits.shape[-1]:
        return logits
    smallest = np.partition(logits, -k, axis=-1)[..., -k, None]
    return np.where(logits < smallest, -np.inf, logits)


def keep_top_p(logits, p, rule="openai"):
    """Hide the tail of each row: keep the likeliest tokens whose probabilities together reach p.

    The token that crosses p is kept by the rule "hf" (Holtzman et al. 2020, section 3.1, and Hugging
    Face) and dropped by "openai" (gpt-2/src/sample.py), unless it is the only one. Of tokens that are equally
    likely at the threshold, "openai" keeps all; "hf" keeps no more than it needs, those with the later ids.

    The sums are in float64. In float32, those of 50,257 probabilities are wrong by 1e-5 and more, and near
    p = 1 that is thousands of tokens.

    >>> logits = np.log([[0.5, 0.41, 0.09]])
    >>> [int(np.isfinite(keep_top_p(logits, 0.9, rule)).sum()) for rule in ("openai", "hf")]
    [1, 2]
    """
    if p >= 1:
        return logits
    descending = -np.sort(-logits, axis=-1)
    total = softmax(descending.astype(np.float64)).cumsum(axis=-1)
    before = total < p if rule == "hf" else total <= p
    last = before.sum(axis=-1, keepdims=True) - (rule == "openai")
    last = np.clip(last, 0, logits.shape[-1] - 1)
    smallest = np.take_along_axis(descending, last, axis=-1)
    dropped = logits < smallest
    if rule == "hf":
        equal = logits == smallest
        too_many = (~dropped).sum(axis=-1, keepdims=True) - (last + 1)
        dropped |= equal & (equal.cumsum(axis=-1) <= too_many)
    return np.where(dropped, -np.inf, logits)


def sample(logits, choice: Choice, rngs):
    """Choose a next token for each row of logits [B, V] -> ids [B].

    The filters follow the temperature in OpenAI's order, then one draw from each row's own random generator.
    """
    if choice.temperature == 0:
        return logits.argmax(axis=-1)
    temperature = max(choice.temperature, float(np.finfo(logits.dtype).tiny))  # less would be 0 in this dtype
    with np.errstate(over="ignore"):  # near temperature 0 all but the largest go to -inf, and that is right
        logits = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    logits = keep_top_p(keep_top_k(logits, choice.top_k), choice.top_p, choice.top_p_rule)
    logits = choice.by_probability(logits)
    cumulative = softmax(logits).cumsum(axis=-1, dtype=np.float64)  # in float32 it would stop short of 1
    cumulative /= cumulative[:, -1:]
    draws = [rng.random() for rng in rngs]
    return np.array([row.searchsorted(u, "right") for row, u in zip(cumulative, draws, strict=True)])


class Text:
    """Rows of ids that grow together, and the cache of their keys and values."""

    def __init__(self, params, n_head, prompts, n_new, overflow="slide", use_cache=True, guesser=None):
        """Begin with the prompts; see `stream`. The cache will have room for `n_new` more tokens."""
        self.params, self.n_head, self.n_new, self.overflow = params, n_head, n_new, overflow
        self.rows, self.n_ctx = [list(prompt) for prompt in prompts], len(params["wpe"])
        self.use_cache, self.slid = use_cache, False
        self.speculation = guesser and Speculation(params, n_head, guesser)

    def prefill(self):
        """Run all rows from their beginnings, into a new cache -> logits of their next tokens [B, V]."""
        ids, self.pad = left_pad(self.rows)  # [B, T], [B]
        self.began = time.perf_counter()
        if not self.use_cache:
            return gpt2(ids, self.params, self.n_head, pad=self.pad, n_last=1)[:, -1]
        room = min(self.n_ctx, ids.shape[1] + self.n_new)
        self.cache = KVCache(self.params, self.n_head, len(ids), room)
        return prefill(ids, self.params, self.n_head, self.cache, self.pad)[:, -1]

    def extend(self, ids, done):
        """Add an id to each row and feed it back: the cache grows by its keys and values -> logits [B, V].

        `done` [B] says which rows have ended; these may outgrow the context without a warning.
        """
        compiled.fetch_if_worth(self.began, self.params)
        for row, i in zip(self.rows, ids, strict=True):
            row.append(i)
        if any(len(row) > self.n_ctx for row in self.rows):
            self.slide(done)
            return self.prefill()
        if not self.use_cache:
            return self.prefill()
        if self.speculation:
            return self.speculation.next_logits(self.rows[0], self.cache)
        return gpt2([[i] for i in ids], self.params, self.n_head, self.cache, pad=self.pad)[:, -1]

    def slide(self, done):
        """Cut each row that is longer than the context to the newest half of one, or raise ValueError.

        All rows then go through the model again, since their positions have changed. That happens once in
        half a context of new tokens, so it costs about one token for each new one.
        """
        too_long = [b for b, row in enumerate(self.rows) if len(row) > self.n_ctx]
        if not self.slid and not all(done[b] for b in too_long):
            if self.overflow == "error":
                raise ValueError(f"the text has filled all {self.n_ctx} positions of this model")
            log.warning("the context of %d tokens is full: going on from its newest half", self.n_ctx)
            self.slid = True
        for b in too_long:
            del self.rows[b][: -max(1, self.n_ctx // 2)]
        self.end()

    def end(self):
        """Tell the guesser how many of its last guesses were right; the others are dropped."""
        if self.speculation:
            self.speculation.end(self.cache)


def left_pad(rows):
    """Stack lists of ids of unequal length, filled up with 0 at the left -> ids [B, T], pad [B] or None.

    >>> left_pad([[5, 6, 7], [8]])
    (array([[5, 6, 7],
           [0, 0, 8]]), array([0, 2]))
    """
    T = max(len(row) for row in rows)
    pad = np.array([T - len(row) for row in rows])
    ids = np.array([[0] * (T - len(row)) + row for row in rows])
    return ids, pad if pad.any() else None


def stream(
    params: dict,
    n_head: int,
    prompts: list[list[int]],
    n_new: int,
    choice: Choice = GREEDY,
    finished: Callable[[list[int]], bool] | None = None,
    overflow: str = "slide",
    use_cache: bool = True,
    guesser: Guesser | bool | None = None,
    log_probs: list[list[float]] | None = None,
) -> Iterator[list[int | None]]:
    """Continue all prompts at once; yield, token after token, the list of each row's next id.

    Parameters
    ----------
    params, n_head : see `gpt2`
    prompts : lists of ids, one for each row; their lengths may differ
    n_new : how many tokens to add to each row
    choice : Choice
        How a token is chosen; greedy by default.
    finished : function of the list of a row's new ids, optional
        After it has returned true a row yields None; when it has for all rows, the stream ends.
    overflow : "slide" or "error"
        What to do when the context is full: go on from its newest half, said once in the log, or raise.
    use_cache : bool
        Without the cache every token is computed anew each time: slow, but the same ids.
    guesser : see speed/guess.py, optional
        Guesses ids that the model then checks, several in one call: the same ids, in less time. For a single
        row with a cache; for others it is not used. None: a `Lookup` if the choice is greedy; False: no
        guesses.
    log_probs : list, optional
        Receives for each step the model's own log-probabilities of the ids that were chosen [B].

    Raises
    ------
    ValueError
        At once, for a prompt that is empty or longer than the context, or settings out of range; later, for
        logits that are no numbers.
    """
    if overflow not in ("slide", "error"):
        raise ValueError(f"overflow must be slide or error, not {overflow}")
    check_prompts(prompts, n_new, len(params["wpe"]))
    if guesser is None and choice.temperature == 0:
        guesser = Lookup()
    if len(prompts) > 1 or not use_cache:
        guesser = None  # not every row's guesses would come true, and a call serves many tokens anyway
    text = Text(params, n_head, prompts, n_new, overflow, use_cache, guesser)
    return steps(text, n_new, choice, finished, log_probs)


def steps(text, n_new, choice, finished, log_probs=None):
    """Do what `stream` says, when its checks are done."""
    prompts = [list(row) for row in text.rows]
    new, rngs = [[] for _ in text.rows], choice.generators(len(text.rows))
    done = [False] * len(new)
    if n_new == 0:
        return
    try:
        logits = text.prefill()  # of the prompts: [B, V]
        for n in itertools.count(1):
            if not np.isfinite(logits.max(axis=-1)).all():  # the largest of NaN and others is NaN
                raise ValueError("the model gives NaN or infinity: its weights are damaged, or too large")
            rows = map(list.__add__, prompts, new) if choice.follows_text else ()
            ids = sample(choice.by_text(logits, rows), choice, rngs).tolist()  # [B]
            if log_probs is not None:
                log_probs.append(np.log(softmax(logits.astype(np.float64)))[range(len(ids)), ids].tolist())
            yield [None if done[b] else i for b, i in enumerate(ids)]
            for b, i in enumerate(ids):
                new[b].append(i)
                done[b] = done[b] or bool(finished and finished(new[b]))
            if n == n_new or all(done):
                return
            logits = text.extend(ids, done)  # feed the chosen ids back
    finally:  # also when the caller asks for no more
        text.end()


def generate(
    params, n_head, prompts, n_new, choice: Choice = GREEDY, finished=None, **settings
) -> list[list[int]]:
    """Return the new ids of each row, all at once; see `stream` for the settings."""
    taken = list(stream(params, n_head, prompts, n_new, choice, finished, **settings))
    return [[ids[b] for ids in taken if ids[b] is not None] for b in range(len(prompts))]


def check_prompts(prompts, n_new, n_ctx):
    """Raise ValueError for prompts that the model cannot read, or a number of tokens it cannot make."""
    if not isinstance(n_new, int | np.integer) or not 0 <= n_new <= sys.maxsize:
        raise ValueError(f"the number of new tokens must be a whole one from 0 to {sys.maxsize}, not {n_new}")
    if len(prompts) == 0 or any(np.ndim(prompt) != 1 or len(prompt) == 0 for prompt in prompts):
        raise ValueError("prompts must be lists of ids, at least one list and in each at least one id")
    longest = max(len(prompt) for prompt in prompts)
    if longest > n_ctx:
        raise ValueError(f"a prompt of {longest} tokens does not fit into the {n_ctx} positions of the model")
