"""Look inside a model: one HTML page of what it does with a prompt.

usage: python -m picogpt.explain PROMPT [flags]
       python -m picogpt.explain --live [PROMPT] [flags]

Continues the prompt by the likeliest tokens and writes what happens inside to a page that needs nothing
else, no network either: the whole model in one drawing, attention step by step, the neurons that fire, the
logit lens and what each layer adds, the backward pass with its gradients, one step of learning, the ablation
of each head, and the lines of source with their shapes. --live serves the page instead, with a field for
the prompt.

{flags}

Most of the time goes into the ablation, as all layers after a head are computed again without it, and into
the backward pass, which is computed for every token.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import logging
import webbrowser
from pathlib import Path
from typing import Annotated

from picogpt.checkpoints import weights
from picogpt.explain.gather import gather
from picogpt.explain.learning import Learning
from picogpt.explain.live import MOST, Asked, Live, serve
from picogpt.explain.page import write_page
from picogpt.explain.prompts import FIRST
from picogpt.explain.terminal import as_text
from picogpt.generate import generate
from picogpt.params.narrow import widened
from picogpt.params.tree import tree_map
from picogpt.system import command, flags, machine
from picogpt.system.files import check_out
from picogpt.system.signature import Range
from picogpt.text.prompt import read_prompt
from picogpt.train.prepare import prepare, save_beginning
from picogpt.train.runs import SHAKESPEARE
from picogpt.train.settings import Settings
from picogpt.train.state import STATE

log = logging.getLogger("picogpt")
SHOWN = dict(norm="pre", rms=False, rezero=False)  # what the page's sums and norms are made for


def explain(
    prompt: Annotated[str | None, "the text to look at; without it, or with -, it is read from stdin"] = None,
    *,
    n: Annotated[flags.Whole, "how many tokens to add ({}). With those of the prompt, at most 128"] = 8,
    model: flags.Model = "tales",
    models_dir: flags.ModelsDir = "models",
    out: Annotated[str, "FILE", "the page"] = "explain.html",
    live: Annotated[
        bool,
        "serve the page, on this machine and for you alone, with a field for the prompt: another prompt,"
        " another token, and a small model that learns while you look",
    ] = False,
    port: Annotated[int, Range(0, below=2**16), "with --live: where to serve ({}: where there is room)"] = 0,
    learn: Annotated[
        str, "FILE", "with --live: the text that the small model learns (a play by Shakespeare)"
    ] = "",
    learn_out: Annotated[
        flags.Out, "with --live: where it goes, as a training of python -m picogpt.train"
    ] = "runs/live",
    open: Annotated[bool, "show it in the browser"] = False,
    text: Annotated[
        bool, "write to the terminal instead: tokens, the five likeliest after each, attention"
    ] = False,
    special: flags.Special = False,
    dtype: flags.Dtype = "float32",
    threads: flags.Threads = 0,
):
    """Explain as the docstring of this module says; these are the command's flags."""
    command.check(explain, locals())
    log.setLevel(logging.INFO)
    machine.set_threads(threads)
    if not text and not live:
        check_out(out)
    prompt = FIRST if live and prompt is None else read_prompt(prompt)
    params, hparams, encoder = weights.load_with_encoder(model, models_dir, special=special, dtype=dtype)
    params = tree_map(widened, params)  # the page is about all numbers, and gradients, which are in float32
    for name, value in SHOWN.items():
        if hparams.get(name, value) != value:
            raise ValueError(
                f"this model has {name} {hparams[name]!r}, and the page is made for blocks that add up and"
                f" norm as GPT-2's: explain one with {name} {value!r}"
            )
    if live:
        watch(
            Live(params, hparams, encoder, Path(model).resolve().name, Asked(prompt, n=n)),
            port,
            learn,
            learn_out,
            open,
        )
        return
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


def watch(live, port, learn, learn_out, open):
    """Serve the page until Ctrl-C; then save what was learned."""
    live.ids_of(live.usual)  # a prompt that cannot be shown is refused at once
    live.learn_from(begin_learning(learn, learn_out))
    server, address = serve(live, port)
    log.info("%s is for you alone; Ctrl-C ends it", address)
    if open:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        log.info("ended")
    finally:
        server.server_close()
        if live.learning:
            live.learning.end()


def begin_learning(file, out):
    """Return a small model that is ready to learn a text, or one that has begun in the folder `out`.

    None without a text: Shakespeare's is in a checkout, not in an installed package.
    """
    file = file or str(SHAKESPEARE)
    if not Path(file).exists() and file == str(SHAKESPEARE):
        log.warning("nothing can learn, as there is no text: --learn FILE gives one")
        return None
    folder = Path(out)
    settings = Settings(file, out=out, sample_every=0, resume=(folder / STATE).exists())
    c = settings.completed()
    state, hparams, encoder, splits = prepare(c, folder)

    def begin():
        if not (folder / STATE).exists():
            save_beginning(folder, settings.given(), state, c, hparams, encoder)

    return Learning(c, folder, state, hparams, encoder, splits, begin)
