"""A session at the terminal: lines that are continued or answered, and commands that begin with /."""

import contextlib
import sys
from pathlib import Path

import numpy as np

from picogpt.chat.talk import CHOICE
from picogpt.explain.gather import gather
from picogpt.explain.page import write_page
from picogpt.explain.tokens import quoted
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.narrow import widened
from picogpt.params.tree import tree_map
from picogpt.system import interrupt

MOST = 128  # tokens in a page of explain
HELP = """\
/reset                    forget what was said
/set NAME VALUE           temperature, top_k, top_p, seed, or n, the most tokens of an answer; /set shows them
/top                      the five likeliest next tokens
/explain [FILE]           write the page of what happens inside for what stands here (explain.html)
/help                     these lines
Ctrl-C ends an answer, Ctrl-D the session. A line that begins with / and is meant as text: begin it with //"""


def run(chat):
    """Read lines until Ctrl-D and write what the model makes of each."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (line editing and history, where there is one)
    sign = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            with interrupt.noticed():
                line = input(sign)
        except EOFError:
            print()
            return
        except KeyboardInterrupt as error:
            going_on_after(error)
            print()
            continue
        try:
            obey(chat, line) if line.startswith("/") and not line.startswith("//") else answer(chat, line)
        except (ValueError, OSError) as error:
            print(f"picogpt: {error}", file=sys.stderr, flush=True)


def answer(chat, line):
    """Write the answer to a line while it arises; Ctrl-C ends it, and what has come of it counts."""
    line = line.removeprefix("/") if line.startswith("//") else line
    try:
        for piece in chat.say(line):
            print(piece, end="", flush=True)
    except KeyboardInterrupt as error:
        going_on_after(error)
    finally:
        print(flush=True)


def going_on_after(error):
    """Pass an interrupt on unless it is Ctrl-C: then the end of the process is asked for."""
    if getattr(error, "code", 130) != 130:
        raise error


def obey(chat, line):
    """Do what a command says. ValueError for one that cannot be done."""
    name, *words = line[1:].split()
    if name == "reset":
        chat.reset()
    elif name == "set":
        change(chat, words)
    elif name == "top":
        print("\n".join(top(chat)))
    elif name == "explain":
        print(f"{explain(chat, words[0] if words else 'explain.html')} is written")
    elif name == "help":
        print(HELP)
    else:
        raise ValueError(f"there is no command /{name}; /help lists them")


def change(chat, words):
    """Set what `/set NAME VALUE` says, and show the settings."""
    if words:
        name, value = words if len(words) == 2 else (words[0], "")
        kind = (CHOICE | dict(n=int)).get(name)
        if kind is None:
            raise ValueError(f"{name} is no setting; there are n, {', '.join(CHOICE)}")
        try:
            chat.set(**{name: None if value == "none" else kind(value)})
        except ValueError as error:
            said = str(error) if name in str(error) else f"{name} cannot be {value!r}"
            raise ValueError(said) from None
    print("  ".join(f"{name} {value}" for name, value in (dict(n=chat.n) | chat.choice).items()))


def top(chat, k=5):
    """Yield a line for each of the k likeliest tokens after what stands here."""
    model = chat.model
    probs = softmax(gpt2([chat.ids()], model.params, model.hparams["n_head"], n_last=1)[0, -1])
    for i in np.argsort(-probs, kind="stable")[:k]:
        yield f"{probs[i]:7.2%}  {quoted(model.encoder, int(i))}"


def explain(chat, path):
    """Write the page of explain for the newest tokens of what stands here; return its path."""
    model = chat.model
    ids, params = chat.ids()[-min(MOST, model.hparams["n_ctx"]) :], tree_map(widened, model.params)
    return write_page(
        path, gather(params, model.hparams, model.encoder, ids, len(ids), Path(model.name).name)
    )
