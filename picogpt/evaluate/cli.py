"""Measure how well a model foresees a text.

usage: python -m picogpt.evaluate FILE [flags]
       python -m picogpt.evaluate --score TEXT [flags]

Prints one line: the numbers, and after a | the protocol that they hold for. Perplexity is e^loss, the loss
the mean of -ln p(token | those before it), and accuracy the share of tokens that are the likeliest. With
--score TEXT: the log-probability of each token of a sentence, and their sum.

  FILE                a UTF-8 text; lines of <|endoftext|> separate documents. With --task, lines of JSON
  --task NAME         lambada: {"text": ...}, whose last word is asked for; choice: {"ctx": ...,
                      "endings": [...], "label": 0}, as in HellaSwag; text (text)

 the model
  --model NAME        124M, 355M, 774M, 1558M, tales or a folder, as for python -m picogpt
  --models_dir DIR    where downloaded models are (models)
  --source NAME       who serves a model that is not there: openai or hf (openai)
  --offline           download nothing
  --threads N         compute on so many cores (0: on all, or as OMP_NUM_THREADS says)

 the protocol
  --window N          tokens that the model sees at a time (0: its whole context)
  --stride N          tokens from one window to the next; the rest of it is context (0: the window)
  --protocol NAME     rolling: every token is scored once, the last window is full, as lm-eval's;
                      strided: a window begins every N tokens, the first token of all has no context
                      and goes unscored, as Hugging Face's; blocks: full windows alone, as nanoGPT's
                      (rolling)
  --no_bos            do not begin with the token after which a new text begins, <|endoftext|>
  --documents         each document by itself, after its own <|endoftext|>
  --detokenise NAME   first undo how a corpus was cut into words: wikitext, ptb or none (none)
  --normalise NAME    the perplexity of a token; of a word, between spaces, or of an original token, a
                      word or a line end, of the file as it is (token)

Published numbers and the flags for each are in docs/evaluation.md.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
import math
import re
import types
from pathlib import Path

import numpy as np
from tqdm import tqdm

from picogpt.checkpoints import weights
from picogpt.checkpoints.released import URLS
from picogpt.cli import choose_model
from picogpt.evaluate import tasks
from picogpt.evaluate.scoring import (
    block_windows,
    cut,
    rolling_log_probs,
    rolling_windows,
    score,
    strided_windows,
)
from picogpt.system import command, machine
from picogpt.text import data
from picogpt.text.detokenise import RULES, detokenise

WINDOWS = dict(
    rolling=rolling_windows,
    strided=strided_windows,
    blocks=lambda n, window, stride: block_windows(n, window),
)
UNITS = dict(  # how many a text has; words as lm-eval counts them: one more for spaces at either end
    word=lambda text: len(re.split(r"\s+", text)),
    original=lambda text: len(re.findall(r"\S+|\n", text)),
)
NAMES = dict(
    task=["text", *tasks.TASKS],
    source=list(URLS),
    protocol=list(WINDOWS),
    detokenise=list(RULES),
    normalise=["token", *UNITS],
)
OF_A_TEXT = dict(stride=0, protocol="rolling", documents=False, detokenise="none", normalise="token")


def evaluate(
    file: str | None = None,
    *,
    score: str | None = None,
    task: str = "text",
    model: str | None = None,
    models_dir: str = "models",
    source: str = "openai",
    offline: bool = False,
    threads: int = 0,
    window: int = 0,
    stride: int = 0,
    protocol: str = "rolling",
    no_bos: bool = False,
    documents: bool = False,
    detokenise: str = "none",
    normalise: str = "token",
):
    """Evaluate as the docstring of this module says; these are the command's flags."""
    c = types.SimpleNamespace(**locals())
    check_flags(c)
    machine.set_threads(threads)
    c.model = choose_model(model, models_dir)
    params, hparams, encoder = weights.load_with_encoder(c.model, models_dir, source, offline)
    fill_in(c, hparams["n_ctx"], encoder)
    report = sentence_report if file is None else text_report if task == "text" else task_report
    print(report(c, params, hparams["n_head"], encoder))


def check_flags(c):
    """End the program, naming the flag, if a value is out of its range or has no effect."""
    if (c.file is None) == (c.score is None):
        command.usage_error("give either a FILE or --score TEXT")
    for name, allowed in NAMES.items():
        if getattr(c, name) not in allowed:
            command.usage_error(f"--{name} must be {' or '.join(allowed)}, not {getattr(c, name)}")
    for name in ("window", "stride", "threads"):
        if not 0 <= (value := getattr(c, name)) < 2**16:
            command.usage_error(f"--{name} must not be negative or beyond {2**16 - 1}, as is {value}")
    if c.file is None and c.task != "text":
        command.usage_error("--task has no effect with --score")
    for name, default in OF_A_TEXT.items():
        if getattr(c, name) != default and (c.file is None or c.task != "text"):
            command.usage_error(f"--{name} is for a FILE of text alone")
    if c.stride and c.protocol == "blocks":
        command.usage_error("--stride has no effect with --protocol blocks")


def fill_in(c, n_ctx, encoder):
    """Give the settings that follow from the model: the window, the stride, what stands before a text."""
    c.window = c.window or n_ctx
    c.stride = c.stride or c.window
    if c.window > n_ctx:
        raise ValueError(f"--window is {c.window}, but this model's context is {n_ctx} tokens")
    if c.stride > c.window:
        raise ValueError(f"--stride is {c.stride}, more than the window of {c.window}: it would skip tokens")
    c.start = [] if c.no_bos else [encoder.start]
    bos = repr(encoder.decode([encoder.start])) if c.start else "nothing"
    c.conditions = f"{Path(c.model).name}, after {bos}, windows of {c.window}"


def text_report(c, params, n_head, encoder):
    """Return the line for a text: how well its tokens are foreseen.

    Bytes and words belong to all tokens; those that the protocol leaves out are taken to be like the others.
    """
    text = data.read_text(c.file)
    parts = list(data.documents(text)) if encoder.eot is not None and data.END in text else [text]
    texts = text_ids(c, parts, encoder)
    windows = functools.partial(WINDOWS[c.protocol], window=c.window, stride=c.stride)
    rows = [row for ids in texts for row in cut(ids, windows(len(ids)))]
    if not rows:
        raise ValueError(f"{c.file} is too short: it has no token that this protocol scores")
    n_tokens = sum(len(ids) - len(c.start) for ids in texts)
    n_bytes = sum(len(part.encode()) for part in parts)
    n_units = n_tokens if c.normalise == "token" else sum(map(UNITS[c.normalise], parts))
    log_probs, likeliest = map(np.concatenate, zip(*with_progress(params, n_head, rows), strict=True))
    loss = -log_probs.mean()
    unit = "original token" if c.normalise == "original" else c.normalise
    bits, nats = loss / math.log(2) * n_tokens / n_bytes, loss * n_tokens / n_units
    return (
        f"perplexity {math.exp(nats) if nats < 700 else math.inf:.4f} per {unit},"
        f" loss {loss:.4f} nats per token, {bits:.4f} bits per byte, accuracy {likeliest.mean():.4f}"
        f" | {c.file}: {len(log_probs):,} of {n_tokens:,} tokens"
        + (f", {n_units:,} {unit}s" if c.normalise != "token" else "")
        + (f", each of {len(texts):,} documents alone" if c.documents else "")
        + (f", detokenised as {c.detokenise}" if c.detokenise != "none" else "")
        + f" | {c.conditions}, {c.protocol}"
        + (f", stride {c.stride}" if c.protocol != "blocks" else "")
    )


def text_ids(c, parts, encoder):
    """Return the ids of each document, or of all as one text, with what they begin after or without it."""
    texts = [[encoder.start, *encoder.encode(detokenise(part, c.detokenise))] for part in parts]
    if not c.documents:
        texts = [[i for ids in texts for i in ids]]
    return [np.array(ids if c.start else ids[1:]) for ids in texts]


def task_report(c, params, n_head, encoder):
    """Return the line for a file of questions: see `tasks`."""
    row = functools.partial(tasks.row, encoder=encoder, window=c.window, start=c.start)
    questions = tasks.read_questions(c.file, c.task, row)
    scored = iter(with_progress(params, n_head, [row for rows, _, _ in questions for row in rows]))
    answers = [[next(scored) for _ in rows] for rows, _, _ in questions]
    measures = tasks.TASKS[c.task][1](questions, answers)
    said = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
    return f"{said} | {c.file}: {len(questions):,} questions | {c.conditions}"


def sentence_report(c, params, n_head, encoder):
    """Return a line for each token of a sentence, with its log-probability and id, and one for the sum."""
    ids = [*c.start, *encoder.encode(c.score)]
    log_probs = rolling_log_probs(params, n_head, ids, c.window)
    if not len(log_probs):
        raise ValueError("--score needs a token that stands after another one")
    lines = [f"{p:10.4f} {i:6} {encoder.decode([i])!r}" for p, i in zip(log_probs, ids[1:], strict=True)]
    return "\n".join([*lines, f"{log_probs.sum():10.4f} sum of {len(log_probs)} tokens | {c.conditions}"])


def with_progress(params, n_head, rows):
    """Return what `score` says of the rows, and show on stderr how far it is."""
    total = sum(len(ids) for ids, _ in rows)
    with tqdm(total=total, desc="scoring", unit="tok", unit_scale=True, leave=False, disable=None) as bar:
        return score(params, n_head, rows, bar.update)
