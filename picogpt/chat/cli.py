r"""Talk with a model at the terminal.

usage: python -m picogpt.chat [flags]
       python -m picogpt.chat --model FOLDER [flags]
       python -m picogpt.chat --template "User: {user}\nBot:" [flags]

Each line that you type is answered, in the form that the model was trained on: the chat template of its
tokenizer, or the one that --template gives. Without either it is a small model that comes with picogpt, and
writes a story when it is told "Write a story with these words: dog, cake, rain." GPT-2 itself was trained on
no conversations: python -m picogpt -i continues a text instead. The model remembers what was said, as long
as it fits into its context; then the oldest turns leave.

{flags}

In the session, /help lists the commands; Ctrl-C ends an answer, Ctrl-D the session.
Exit codes: 0 done, 1 error, 2 wrong usage.
"""

import logging
from typing import Annotated

from picogpt.chat import model as models
from picogpt.chat import session, talk
from picogpt.checkpoints import weights
from picogpt.speed import compiled
from picogpt.system import command, flags, machine

log = logging.getLogger("picogpt")
BUNDLED = "talk", "{user}\n"  # the model, and the form that projects/talk.py has taught it


def chat(
    *,
    model: flags.Model | None = None,
    models_dir: flags.ModelsDir = "models",
    template: Annotated[
        str, "TEXT", r"the form of a turn, with {user} in it, and \n for a new line: 'User: {user}\nBot:'"
    ] = "",
    n: Annotated[flags.Count, "most tokens of an answer"] = 200,
    temperature: Annotated[flags.Real, "0: always the likeliest token; the higher, the bolder"] = 0.8,
    top_k: Annotated[flags.Whole, "choose among the N likeliest tokens ({}: all)"] = 40,
    top_p: Annotated[
        float, "choose among the likeliest tokens that together have probability X ({}: all)"
    ] = 1.0,
    seed: Annotated[flags.Seed | None, "make the choice the same each time"] = None,
    plain: Annotated[bool, "leave the model's generation_config.json aside"] = False,
    dtype: flags.Dtype = "float32",
    no_fast: flags.NoFast = False,
    threads: flags.Threads = 0,
):
    """Talk as the docstring of this module says; these are the command's flags."""
    command.check(chat, locals())
    machine.set_threads(threads)
    if no_fast:
        compiled.turn_off()
    if model is None and not template:
        model, template = BUNDLED
        log.warning("using the small bundled model, which was trained to write a story with given words")
    loaded = models.load(weights.choose(model, models_dir), models_dir, plain=plain, dtype=dtype)
    form = talk.choose_template(loaded, template.replace("\\n", "\n"))
    session.run(talk.Chat(loaded, form, n, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed))
