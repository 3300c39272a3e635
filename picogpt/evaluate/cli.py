"""Measure how well a model foresees a text.

usage: python -m picogpt.evaluate FILE [flags]
       python -m picogpt.evaluate --score TEXT [flags]

Prints one line: the numbers, and after a | the protocol that they hold for. Perplexity is e^loss, the loss
the mean of -ln p(token | those before it), and accuracy the share of tokens that are the likeliest. With
--score TEXT: the log-probability of each token of a sentence, and their sum.

{flags}

Published numbers and the flags for each are in docs/evaluation.md.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
import math
import re
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.checkpoints.released import Source
from picogpt.evaluate import tasks
from picogpt.evaluate.scoring import (
    block_windows,
    rolling_log_probs,
    rolling_windows,
    rows_of,
    score,
    strided_windows,
)
from picogpt.system import command, flags, machine, progress
from picogpt.system.signature import OneOf, Range, Section
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
OF_A_TEXT = dict(stride=0, protocol="rolling", documents=False, detokenise="none", normalise="token")


@dataclass
class Settings:
    """What is measured of which model, and how: the flags of the command."""

    file: Annotated[
        str | None,
        "a UTF-8 text; lines of <|endoftext|> separate documents. With --task, lines of JSON",
    ] = None
    _: KW_ONLY
    score: Annotated[
        str | None, "TEXT", "instead of FILE: say how probable each token of this sentence is"
    ] = None
    task: Annotated[
        str,
        OneOf("text", *tasks.TASKS),
        'lambada: {"text": ...}, whose last word is asked for; choice: {"ctx": ..., "endings": [...],'
        ' "label": 0}, as in HellaSwag; text',
    ] = "text"

    model: Annotated[
        flags.Model | None,
        Section("the model"),
        "124M, 355M, 774M, 1558M, tales or a folder (as python -m picogpt chooses)",
    ] = None
    models_dir: flags.ModelsDir = "models"
    source: Source = "openai"
    offline: flags.Offline = False
    dtype: flags.Dtype = "float32"
    threads: flags.Threads = 0

    window: Annotated[
        int,
        Section("the protocol"),
        Range(0, below=2**16),
        "tokens that the model sees at a time ({}: its whole context; more only without learned positions)",
    ] = 0
    stride: Annotated[
        int,
        Range(0, below=2**16),
        "tokens from one window to the next; the rest of it is context ({}: the window)",
    ] = 0
    protocol: Annotated[
        str,
        OneOf(*WINDOWS),
        "rolling: every token is scored once, the last window is full, as lm-eval's; strided: a window begins"
        " every --stride tokens, the first token of all has no context and is not scored, as Hugging Face's;"
        " blocks: full windows alone, as nanoGPT's",
    ] = "rolling"
    no_bos: Annotated[bool, "do not begin with the token after which a new text begins, <|endoftext|>"] = (
        False
    )
    special: flags.Special = False
    documents: Annotated[bool, "each document by itself, after its own <|endoftext|>"] = False
    detokenise: Annotated[
        str, OneOf(*RULES), "first undo how a corpus was cut into words: wikitext, ptb or none"
    ] = "none"
    normalise: Annotated[
        str,
        OneOf("token", *UNITS),
        "the perplexity of a token; of a word, between spaces; or of an original token, a word or a line end,"
        " of the file as it is",
    ] = "token"

    # No flags, but what follows from the model: the ids that stand before a text, and what is to be reported
    start: list = field(default_factory=list)
    conditions: str = ""


def evaluate(c: Settings):
    """Load the model, and print what `c` asks for."""
    check_flags(c)
    machine.set_threads(c.threads)
    c.model = weights.choose(c.model, c.models_dir)
    params, hparams, encoder = weights.load_with_encoder(
        c.model, c.models_dir, c.source, c.offline, c.special, c.dtype
    )
    params, n_ctx = lengthened(params, c.window)
    fill_in(c, n_ctx, encoder)
    what = "sentence" if c.file is None else c.task
    report = dict(sentence=sentence_report, text=text_report).get(what, task_report)
    print(report(c, params, hparams["n_head"], encoder))


def check_flags(c):
    """End the program, naming the flag, if a value is out of its range or has no effect."""
    if (c.file is None) == (c.score is None):
        command.usage_error("give either a FILE or --score TEXT")
    command.check(evaluate, c)
    if c.file is None and c.task != "text":
        command.usage_error("--task has no effect with --score")
    for name, default in OF_A_TEXT.items():
        if getattr(c, name) != default and (c.file is None or c.task != "text"):
            command.usage_error(f"--{name} is for a FILE of text alone")
    if c.stride and c.protocol == "blocks":
        command.usage_error("--stride has no effect with --protocol blocks")


def lengthened(params, window):
    """Return (params, context): a model without a last position reads windows beyond its own context."""
    n_ctx, width = params["wpe"].shape
    if width or window <= n_ctx:
        return params, n_ctx
    return params | dict(wpe=np.empty_like(params["wpe"], shape=(window, 0))), window


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
    model = Path(c.model).name + (f" in {c.dtype}" if c.dtype != "float32" else "")
    c.conditions = f"{model}, after {bos}, windows of {c.window}"


def text_report(c, params, n_head, encoder):
    """Return the line for a text: how well its tokens are foreseen.

    Bytes and words belong to all tokens; those that the protocol leaves out are taken to be like the others.
    """
    text = data.read_text(c.file)
    parts = list(data.documents(text)) if encoder.eot is not None and data.END in text else [text]
    texts = text_ids(c, parts, encoder)
    windows = functools.partial(WINDOWS[c.protocol], window=c.window, stride=c.stride)
    rows = [row for ids in texts for row in rows_of(ids, windows(len(ids)))]
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
    with progress.bar(total=total, desc="scoring", unit="tok", unit_scale=True, leave=False) as bar:
        return score(params, n_head, rows, bar.update)
