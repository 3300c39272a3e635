"""picogpt - continue a text with GPT-2, in plain NumPy

usage: python -m picogpt PROMPT [flags]

Writes the text that the model thinks comes next: to a terminal as it arises, after the prompt; to a
pipe or a file the new text alone, and a newline. Everything else goes to stderr.

{flags}
  -h, --help          this page
  --version           which picogpt this is

python -m picogpt -i continues line by line; python -m picogpt.chat talks, with a model that was trained to.

examples:
  python -m picogpt "Once upon a time"
  python -m picogpt "One day, a cat" --temperature 0.7 --seed 1
  python -m picogpt "Alan Turing theorized that computers would one day become" --model 124M --n 8
  cat story.txt | python -m picogpt - --truncate --n 40 --top_k 40 --n_samples 3

PICOGPT_OFFLINE=1 in the environment is --offline; PICOGPT_NO_FAST=1 is --no_fast; PICOGPT_URL=https://...
a mirror to download from.
Exit codes: 0 done, or the reader of the output is gone; 1 error; 2 wrong usage; 130 interrupted (Ctrl-C),
the text so far is written.
"""

import json as json_text
import logging
import math
import sys
import time
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Annotated

from picogpt.checkpoints import generation_config as usage
from picogpt.checkpoints import in_place, weights
from picogpt.checkpoints.released import Source
from picogpt.choose.beams import beam_search
from picogpt.generate import Choice, stream
from picogpt.params.shapes import n_params
from picogpt.speed import compiled
from picogpt.speed.guess import DraftModel, Lookup
from picogpt.system import command, flags, machine
from picogpt.system.signature import Range, Section, Usual
from picogpt.text import output
from picogpt.text.prompt import prompt_ids, read_prompt
from picogpt.text.stop import stop_at

log = logging.getLogger("picogpt")
DRAWING = ("temperature", "top_k", "top_p", "top_p_rule", "min_p", "typical_p", "seed")
CHOICE = (*DRAWING, "repetition_penalty", "no_repeat_ngram_size")
ALIASES = dict(model_size="model", n_tokens_to_generate="n", i="interactive", v="verbose")


@dataclass
class Settings:
    """What is to be continued, by which model, and how: the flags of the command."""

    prompt: Annotated[
        str | None,
        "the text to continue, exactly as given. With - or, if stdin is a pipe, without a prompt, it is read"
        ' from stdin, less one newline at its end. "" begins a new text. A prompt that begins with - goes'
        " after --prompt= or after --",
    ] = None
    _: KW_ONLY
    model: Annotated[
        str | None,
        Section("the model"),
        "124M, 355M, 774M or 1558M: OpenAI's GPT-2, downloaded on first use; or a folder. Without it: 124M if"
        " it is there, else the small model that comes with picogpt (also --model_size)",
    ] = None
    models_dir: flags.ModelsDir = "models"
    source: Source = "openai"
    offline: flags.Offline = False
    dtype: flags.Dtype = "float32"
    truncate: Annotated[
        bool,
        "keep the newest tokens of a prompt that is longer than the model's context, instead of refusing it",
    ] = False
    special: Annotated[
        flags.Special, "control tokens in the prompt, such as <|endoftext|>, are their ids"
    ] = False
    no_cache: Annotated[bool, "compute every token anew each time: slow, but the same text"] = False
    no_lookup: Annotated[
        bool,
        "do not guess from the text so far how it goes on. Guesses that come true save time, and the text is"
        " the same; only greedy text of one sample is guessed",
    ] = False
    draft: Annotated[
        str | None,
        "let a smaller model of the same vocabulary guess: --model 1558M --draft 124M",
    ] = None
    no_fast: flags.NoFast = False
    threads: flags.Threads = 0
    n: Annotated[
        int | None,
        Section("the text"),
        Range(0, below=2**63),
        Usual("as the model's generation_config.json says, else 40"),
        "how many tokens to add ({}; also --n_tokens_to_generate). A context that fills up goes on from its"
        " newest half",
    ] = None
    stop: Annotated[
        list,
        "TEXT",
        'end before this text; may be given several times. "<|endoftext|>" is the end of a document, after'
        " which GPT-2 begins another",
    ] = ()
    plain: Annotated[
        bool,
        "leave the model's generation_config.json aside, which may also say where a text ends and how to"
        " choose: 40 tokens, greedy, and <|endoftext|> is written like others",
    ] = False
    n_samples: Annotated[int, Range(1, below=2**16), "how many continuations"] = 1
    temperature: Annotated[
        float | None,
        Section("the choice of each token"),
        "0: always the likeliest token; 1: by the model's probabilities; the higher, the bolder (0; with"
        " --top_k, --top_p or --seed: 1)",
    ] = None
    top_k: Annotated[int | None, "choose among the N likeliest tokens (0: all)"] = None
    top_p: Annotated[
        float | None, "choose among the likeliest tokens that together have probability X (1: all)"
    ] = None
    top_p_rule: Annotated[
        str | None,
        "RULE",
        "whether the token that crosses X is left out, openai, or kept, hf (openai; hf for a top_p of the"
        " model's generation_config.json)",
    ] = None
    min_p: Annotated[
        float | None,
        "choose among tokens with at least X times the likeliest one's probability (0: all)",
    ] = None
    typical_p: Annotated[
        float | None, "choose among the most typical tokens that together have probability X (1: all)"
    ] = None
    repetition_penalty: Annotated[
        float | None, "make tokens that are in the text, or prompt, less likely: 1.2, say (1: as they are)"
    ] = None
    no_repeat_ngram_size: Annotated[
        int | None, "let no N tokens in a row come twice in text and prompt (0: they may)"
    ] = None
    logit_bias: Annotated[
        list,
        "ID=X",
        "add X to the logit of a token, -inf: never choose it; may be given several times. For ID also the"
        " token's text",
    ] = ()
    seed: Annotated[flags.Seed | None, "make the choice the same each time"] = None
    beams: Annotated[
        int,
        Range(0, below=2**16),
        "search the most probable text with so many beginnings side by side; --n_samples says how many of"
        " them to write (0: choose token by token)",
    ] = 0
    length_penalty: Annotated[
        float | None, "how much longer texts are favoured by --beams: 0, not at all (1)"
    ] = None
    json: Annotated[
        bool,
        Section("the output"),
        "write a line of JSON for each sample: ids, text, log_probs (the model's own, before temperature and"
        " all else; of --beams the score instead), and ended: stop, end (of a document) or length",
    ] = False
    interactive: Annotated[
        bool,
        "continue text line by line, with the model loaded once; /help there lists what can be changed"
        " (also -i)",
    ] = False
    verbose: Annotated[bool, "load time, speed and memory, on stderr"] = False

    @property
    def where(self):
        """Where models are, as `weights.load` takes it."""
        return self.models_dir, self.source, self.offline

    @property
    def chosen(self):
        """What is given of the choice of each token: {name: value}, None for what is not."""
        return {name: getattr(self, name) for name in CHOICE}


def continue_text(c: Settings):
    """Continue a prompt as the docstring of this module says."""
    check_flags(c)
    machine.set_threads(c.threads)
    if c.no_fast:
        compiled.turn_off()
    if c.interactive:
        go_on(c)
        return
    prompt = read_prompt(c.prompt)
    started = time.perf_counter()
    folder, said = find(c)
    params, hparams, encoder = weights.load_with_encoder(folder, *c.where, c.special, c.dtype, mapped=True)
    ids = prompt_ids(prompt, encoder, hparams["n_ctx"], c.truncate)
    choice = make_choice(c, said, logit_bias=read_bias(c.logit_bias, encoder))
    n, ends = usage.n_new(said, c.n, len(ids)), usage.ends(said)
    if c.beams:
        penalty = 1.0 if c.length_penalty is None else c.length_penalty
        found = beam_search(params, hparams["n_head"], ids, n, c.beams, penalty, ends=ends, choice=choice)
        output.write_beams(prompt, found[: c.n_samples], encoder, c.stop, ends, n, c.plain, c.json)
        return
    if c.n_samples > 1 and choice.temperature == 0:
        log.warning("all samples will be alike, as the choice is greedy: give --temperature or --seed")
    guesser = choose_guesser(c, encoder, choice.temperature)
    ready = time.perf_counter()
    taken, log_probs = [], [] if c.json else None  # (when, how many tokens) of each step; its numbers
    steps = stream(
        params, hparams["n_head"], [ids] * c.n_samples, n, choice,
        finished=stop_at(encoder, ends, c.stop), use_cache=not c.no_cache, guesser=guesser,
        log_probs=log_probs,
    )  # fmt: skip
    steps = timed(steps, taken)
    if n >= in_place.PAYS:
        steps = in_place.settle(steps, params, compiled.place)
    try:
        write(c, prompt, steps, log_probs, encoder, ends, n)
    finally:
        if c.verbose:
            report(n_params(hparams), len(ids) * c.n_samples, started, ready, taken, guesser, said)


def go_on(c):
    """Continue a text line by line, until Ctrl-D; a prompt is its first line."""
    from picogpt.chat import model, session, talk  # here, as it takes its time

    name, where = weights.choose(c.model, c.models_dir), dict(source=c.source, offline=c.offline)
    loaded = model.load(name, c.models_dir, c.special, c.plain, dtype=c.dtype, **where)
    choice = asdict(make_choice(c, loaded.usage))
    del choice["logit_bias"]  # an empty one
    chat = talk.Chat(loaded, None, usage.n_new(loaded.usage, c.n, 0), **choice)
    if c.prompt is not None:
        session.answer(chat, c.prompt)
    session.run(chat)


def find(c):
    """Return the folder of the model, and what its generation_config.json says."""
    folder = weights.find(weights.choose(c.model, c.models_dir), *c.where)
    return folder, {} if c.plain else usage.read(folder)


def write(c, prompt, steps, log_probs, encoder, ends, n):
    """Write the continuations in the form that is asked for."""
    if c.json:
        output.write_json(steps, log_probs, encoder, c.stop, ends, c.n_samples)
    elif c.n_samples == 1:
        output.write_one(prompt, without(steps, ends), encoder, c.stop, n, c.plain)
    else:
        output.write_all(prompt, without(steps, ends), encoder, c.stop, n, c.n_samples, c.plain)


def check_flags(c):
    """End the program, naming the flag, for one that is wrong or has no effect: before anything is loaded."""
    command.check(continue_text, c)
    if c.draft is not None and (c.n_samples > 1 or c.no_cache):
        command.usage_error("--draft is for one sample at a time, with a cache")
    if c.draft == "":
        command.usage_error("--draft must not be empty: it names a model")
    if "" in c.stop:
        command.usage_error("--stop must not be empty")
    if any("\ud800" <= char <= "\udfff" for char in "".join(c.stop)):
        command.usage_error("--stop must be UTF-8 text")
    check_beams(c)
    split_biases(c.logit_bias)
    make_choice(c, {})
    for name in ("beams", "json", "logit_bias"):
        if c.interactive and getattr(c, name):
            command.usage_error(f"--{name} has no effect with --interactive")


def check_beams(c):
    """End the program for a flag that has no effect with beams, or without."""
    if not c.beams:
        if c.length_penalty is not None:
            command.usage_error("--length_penalty has no effect without --beams")
        return
    if c.length_penalty is not None and not math.isfinite(c.length_penalty):
        command.usage_error(f"--length_penalty must be a finite number, not {c.length_penalty}")
    drawing = [name for name in DRAWING if c.chosen[name] is not None]
    for name in drawing + ["no_cache"] * c.no_cache + ["draft"] * (c.draft is not None):
        command.usage_error(f"--{name} has no effect with --beams")
    if c.n_samples > c.beams:
        command.usage_error(f"--n_samples {c.n_samples} is more than --beams {c.beams} find")


def split_biases(given):
    """Return [(token, bias)] of texts such as "262=-5" or " the=-inf"; end the program for what is none."""
    biases = []
    for text in given:
        token, _, bias = text.rpartition("=")
        try:
            number = float(bias)
        except ValueError:
            number = math.nan
        if not token or not number < math.inf:
            command.usage_error(f"--logit_bias takes one token, = and a number, not {text!r}")
        biases.append((token, number))
    return biases


def read_bias(given, encoder):
    """Return {id: bias} of what --logit_bias was given, where a token may be an id."""
    biases = {}
    for token, bias in split_biases(given):
        is_id = token.isascii() and token.isdigit() and len(token) < 20
        ids = [int(token)] if is_id else encoder.encode(token)
        if len(ids) != 1:
            command.usage_error(f"--logit_bias takes one token, and {token!r} is {len(ids)}")
        biases[ids[0]] = bias
    return biases


def make_choice(c, said, **biases):
    """Return the Choice of flags and of what the model's file says, or end the program, naming the flag."""
    try:
        return Choice(**usage.choice(said, **c.chosen), seed=c.seed, **biases)
    except ValueError as error:
        command.usage_error(f"--{error}")


def choose_guesser(c, encoder, temperature):
    """Return what guesses the next tokens, see guess.py, or False for nothing."""
    if c.draft is None:
        return Lookup() if temperature == 0 and c.n_samples == 1 and not c.no_lookup else False
    params, its, its_encoder = weights.load_with_encoder(c.draft, *c.where, dtype=c.dtype, mapped=True)
    if its_encoder.encoder != encoder.encoder:
        raise ValueError(f"--draft {c.draft} cannot guess for this model: it has another vocabulary")
    return DraftModel(params, its["n_head"])


def timed(steps, taken):
    """Pass the steps on; add to `taken` when each came, in seconds, and how many tokens it brought."""
    for step in steps:
        taken.append((time.perf_counter(), sum(i is not None for i in step)))
        yield step


def without(steps, ends):
    """Pass the steps on, less the ids that end a text."""
    for step in steps:
        yield [None if i in ends else i for i in step]


def report(n_numbers, n_prompt, started, ready, taken, guesser, followed):
    """Say on stderr how long loading took, how fast the prompt was read and the text written."""
    said = [f"{n_numbers:,} parameters loaded in {ready - started:.2f} s"]
    if taken:
        read = taken[0][0]  # when the prompt had been read, and the first token was there
        said.append(f"prompt: {n_prompt} tokens, {n_prompt / (read - ready):.1f} tokens/s")
    if len(taken) > 1:
        n_new = sum(n for _, n in taken[1:])
        said.append(f"text: {n_new / (taken[-1][0] - read):.1f} tokens/s")
    if compiled.in_use():
        said.append("with compiled products")
    if guesser and guesser.guessed:
        said.append(f"{guesser.right} of {guesser.guessed} guessed tokens were right")
    if followed:
        asked = ", ".join(f"{key} {json_text.dumps(value)}" for key, value in followed.items())
        said.append(f"{usage.FILE}, where no flag says otherwise: {asked}")
    said.append(f"products by {machine.blas_name()}")
    if peak := machine.peak_memory():
        said.append(f"peak memory {peak / 1e6:,.0f} MB")
    print("picogpt: " + "; ".join(said), file=sys.stderr)


def main():
    """Run the command with the words of the command line."""
    command.run(continue_text, aliases=ALIASES)
