"""Look inside a model: one HTML page of what it does with a prompt.

usage: python -m picogpt.explain PROMPT [flags]

Continues the prompt by the likeliest tokens and writes what happens inside to a page that needs nothing
else, no network either: the probabilities of each next token, the attention of every head, what each layer
would say, what each part adds, what happens without a head, and the lines of source with their shapes.

{flags}

Most of the work is for the heads: without each of them, all layers after it are computed again.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import logging
import webbrowser
from pathlib import Path
from typing import Annotated

from picogpt import cli
from picogpt.checkpoints import weights
from picogpt.explain.gather import gather
from picogpt.explain.page import write_page
from picogpt.explain.terminal import as_text
from picogpt.generate import generate
from picogpt.system import command, flags, machine
from picogpt.system.files import check_out

log = logging.getLogger("picogpt")
MOST = 128  # tokens in a page: attention grows with their square


def explain(
    prompt: Annotated[str | None, "the text to look at; without it, or with -, it is read from stdin"] = None,
    *,
    n: Annotated[flags.Whole, "how many tokens to add ({}). With those of the prompt, at most 128"] = 8,
    model: flags.Model = "tales",
    models_dir: flags.ModelsDir = "models",
    out: Annotated[str, "FILE", "the page"] = "explain.html",
    open: Annotated[bool, "show it in the browser"] = False,
    text: Annotated[
        bool, "write to the terminal instead: tokens, the five likeliest after each, attention"
    ] = False,
    special: flags.Special = False,
    threads: flags.Threads = 0,
):
    """Explain as the docstring of this module says; these are the command's flags."""
    command.check(explain, locals())
    log.setLevel(logging.INFO)
    machine.set_threads(threads)
    if not text:
        check_out(out)
    prompt = cli.read_prompt(prompt)
    params, hparams, encoder = weights.load_with_encoder(model, models_dir, special=special)
    if hparams.get("norm") == "post":
        raise ValueError(
            "this model normalises the residual stream after each addition, so that no sum of what its layers"
            " add can be shown: explain a model whose norm is pre"
        )
    ids, n_prompt = continue_ids(prompt, n, params, hparams, encoder)
    if text:
        print("\n".join(as_text(params, hparams, encoder, ids)))
        return
    data = gather(params, hparams, encoder, ids, n_prompt, Path(model).resolve().name)
    path = write_page(out, data)
    log.info("%s is written, %.0f kB", path, path.stat().st_size / 1000)
    if open:
        webbrowser.open(path.absolute().as_uri())


def continue_ids(prompt, n, params, hparams, encoder):
    """Return the ids of the prompt and its continuation, and how many of them are the prompt's."""
    ids = encoder.encode(prompt) or [encoder.start]
    most = min(MOST, hparams["n_ctx"])
    if len(ids) + n > most:
        raise ValueError(
            f"{len(ids)} tokens of the prompt and {n} new ones are more than the {most} that a page"
            " can show: give a shorter prompt or a smaller --n"
        )
    return ids + generate(params, hparams["n_head"], [ids], n)[0], len(ids)
