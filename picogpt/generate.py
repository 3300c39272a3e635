"""From logits to text: choose a token, feed it back, go on."""

import itertools
import sys

import numpy as np

from picogpt.ops import softmax
from picogpt.speed.decode import next_logits
from picogpt.speed.guess import Lookup


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
    Face) and dropped by "openai" (gpt-2/src/sample.py), unless it is the only one. Equals of the last
    one kept stay too, as at OpenAI; Hugging Face keeps the first of them.

    >>> logits = np.log([[0.5, 0.41, 0.09]])
    >>> [int(np.isfinite(keep_top_p(logits, 0.9, rule)).sum()) for rule in ("openai", "hf")]
    [1, 2]
    """
    if p >= 1:
        return logits
    descending = -np.sort(-logits, axis=-1)
    total = softmax(descending).cumsum(axis=-1)
    before = total < p if rule == "hf" else total <= p
    last = before.sum(axis=-1, keepdims=True) - (rule == "openai")
    smallest = np.take_along_axis(descending, np.clip(last, 0, logits.shape[-1] - 1), axis=-1)
    return np.where(logits < smallest, -np.inf, logits)


def sample(logits, rngs, temperature=1.0, top_k=0, top_p=1.0, top_p_rule="openai"):
    """Choose a next token for each row of logits [B, V] -> ids [B].

    Temperature divides the logits: below 1 the likely becomes likelier, and 0 means the likeliest.
    The filters follow in OpenAI's order, then one draw from each row's own random generator.
    """
    if temperature == 0:
        return logits.argmax(axis=-1)
    temperature = max(temperature, float(np.finfo(logits.dtype).tiny))  # less would be 0 in this dtype
    with np.errstate(over="ignore"):  # near temperature 0 all but the largest go to -inf, and that is right
        logits = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    logits = keep_top_p(keep_top_k(logits, top_k), top_p, top_p_rule)
    cumulative = softmax(logits).cumsum(axis=-1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    draws = [rng.random() for rng in rngs]
    return np.array([row.searchsorted(u, "right") for row, u in zip(cumulative, draws, strict=True)])


def stream(
    params,
    n_head,
    prompts,
    n_new,
    temperature=0.0,
    top_k=0,
    top_p=1.0,
    top_p_rule="openai",
    seed=None,
    finished=None,
    overflow="slide",
    use_cache=True,
    guesser=None,
):
    """Continue all prompts at once; yield, token after token, the list of each row's next id.

    Parameters
    ----------
    params, n_head : see `gpt2`
    prompts : lists of ids, one for each row; their lengths may differ
    n_new : how many tokens to add to each row
    temperature, top_k, top_p, top_p_rule : see `sample`; greedy by default
    seed : int, optional
        A row draws the same numbers on every run, whatever the rows after it. None: new ones each time.
    finished : function of the list of a row's new ids, optional
        After it has returned true a row yields None; when it has for all rows, the stream ends.
    overflow : "slide" or "error"
        What to do when the context is full: go on from its newest half, said once in the log, or raise.
    use_cache : bool
        Without the cache every token is computed anew each time: slow, but the same ids.
    guesser : see guess.py, optional
        Guesses ids that the model then checks, several in one call: sooner, and the same ids. For a single
        row with a cache; others are not guessed. None: a `Lookup` if the choice is greedy; False: no guesses.

    Raises
    ------
    ValueError
        At once, for a prompt that is empty or longer than the context, or settings out of range; later, for
        logits that are no numbers.
    """
    check_settings(temperature, top_k, top_p, top_p_rule, overflow)
    check_prompts(prompts, n_new, len(params["wpe"]))
    if guesser is None and temperature == 0:
        guesser = Lookup()
    if len(prompts) > 1 or not use_cache:
        guesser = None  # not every row's guesses would come true, and a call serves many tokens anyway
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(prompts))]

    def steps():
        rows, new, done = [list(prompt) for prompt in prompts], [[] for _ in prompts], [False] * len(prompts)
        all_logits = next_logits(rows, done, params, n_head, n_new, overflow, use_cache, guesser)
        for logits in itertools.islice(all_logits, n_new):
            if not np.isfinite(logits.max(axis=-1)).all():  # the largest of NaN and others is NaN
                raise ValueError("the model gives NaN or infinity: its weights are damaged, or too large")
            chosen = sample(logits, rngs, temperature, top_k, top_p, top_p_rule).tolist()
            yield [None if done[b] else i for b, i in enumerate(chosen)]
            for b, i in enumerate(chosen):
                rows[b].append(i)
                new[b].append(i)
                done[b] = done[b] or bool(finished and finished(new[b]))
            if all(done):
                return

    return steps()


def generate(params, n_head, prompts, n_new, **settings):
    """Return the new ids of each row, all at once; see `stream` for the settings."""
    steps = list(stream(params, n_head, prompts, n_new, **settings))
    return [[step[b] for step in steps if step[b] is not None] for b in range(len(prompts))]


def check_settings(temperature, top_k, top_p, top_p_rule, overflow="slide"):
    """Raise ValueError, naming the value, for settings that mean nothing."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 (greedy) or a positive number, not {temperature}")
    if not isinstance(top_k, int | np.integer) or top_k < 0:
        raise ValueError(f"top_k must be a whole number, at least 1, or 0 for all tokens, not {top_k}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be more than 0 and at most 1, not {top_p}")
    if top_p_rule not in ("openai", "hf"):
        raise ValueError(f"top_p_rule must be openai or hf, not {top_p_rule}")
    if overflow not in ("slide", "error"):
        raise ValueError(f"overflow must be slide or error, not {overflow}")


def check_prompts(prompts, n_new, n_ctx):
    """Raise ValueError for prompts that the model cannot read, or a number of tokens it cannot make."""
    if not isinstance(n_new, int | np.integer) or not 0 <= n_new <= sys.maxsize:
        raise ValueError(f"the number of new tokens must be a whole one from 0 to {sys.maxsize}, not {n_new}")
    if len(prompts) == 0 or any(np.ndim(prompt) != 1 or len(prompt) == 0 for prompt in prompts):
        raise ValueError("prompts must be lists of ids, at least one list and in each at least one id")
    longest = max(len(prompt) for prompt in prompts)
    if longest > n_ctx:
        raise ValueError(f"a prompt of {longest} tokens does not fit into the {n_ctx} positions of the model")


def until(pieces, stops):
    """Yield the text of `pieces` up to the first of the strings `stops`, which itself is left out.

    Text that may be the beginning of a stop string is held back until more is known.

    >>> list(until(["Hello ", "wor", "ld!\\n", "\\nMore"], ["\\n\\n"]))
    ['Hello ', 'wor', 'ld!']
    """
    held = ""
    try:
        for piece in pieces:
            held += piece
            found = [held.index(stop) for stop in stops if stop in held]
            if found:
                held = held[: min(found)]
                break
            doubtful = max(
                (n for stop in stops for n in range(len(stop)) if held.endswith(stop[:n])), default=0
            )
            safe, held = held[: len(held) - doubtful], held[len(held) - doubtful :]
            if safe:
                yield safe
    except KeyboardInterrupt:  # Ctrl-C while the next piece is computed: no stop will come any more
        yield held
        raise
    if held:
        yield held


def stop_at(encoder, stop_ids=(), stops=()):
    """Return a `finished` for `stream`: whether new ids end in one of `stop_ids`, or their text has a stop.

    A stop string of n bytes that the last token completes began at most n - 1 tokens before it.
    """
    window = max((len(stop.encode()) for stop in stops), default=1)

    def finished(ids):
        return ids[-1] in stop_ids or any(stop in encoder.decode(ids[-window:]) for stop in stops)

    return finished
