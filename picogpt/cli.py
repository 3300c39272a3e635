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

import dataclasses
import importlib
import json as json_text
import logging
import sys
import time
from pathlib import Path
from typing import Annotated

from picogpt.checkpoints import generation_config as usage
from picogpt.checkpoints import weights
from picogpt.checkpoints.released import Source
from picogpt.choose.beams import beam_search
from picogpt.generate import Choice, stream
from picogpt.params.shapes import n_params
from picogpt.speed import compiled
from picogpt.speed.guess import DraftModel, Lookup
from picogpt.system import command, flags, machine
from picogpt.system.signature import Range, Section, Usual
from picogpt.text import output
from picogpt.text.data import from_utf8
from picogpt.text.stop import stop_at

log = logging.getLogger("picogpt")
DRAWING = ("temperature", "top_k", "top_p", "top_p_rule", "min_p", "typical_p", "seed")
ALIASES = dict(model_size="model", n_tokens_to_generate="n", i="interactive", v="verbose")


def continue_text(
    prompt: Annotated[
        str | None,
        "the text to continue, exactly as given. With - or, if stdin is a pipe, without a prompt, it is read"
        ' from stdin, less one newline at its end. "" begins a new text. A prompt that begins with - goes'
        " after --prompt= or after --",
    ] = None,
    *,
    model: Annotated[
        str | None,
        Section("the model"),
        "124M, 355M, 774M or 1558M: OpenAI's GPT-2, downloaded on first use; or a folder. Without it: 124M if"
        " it is there, else the small model that comes with picogpt (also --model_size)",
    ] = None,
    models_dir: flags.ModelsDir = "models",
    source: Source = "openai",
    offline: flags.Offline = False,
    dtype: flags.Dtype = "float32",
    truncate: Annotated[
        bool,
        "keep the newest tokens of a prompt that is longer than the model's context, instead of refusing it",
    ] = False,
    special: Annotated[
        flags.Special, "control tokens in the prompt, such as <|endoftext|>, are their ids"
    ] = False,
    no_cache: Annotated[bool, "compute every token anew each time: slow, but the same text"] = False,
    no_lookup: Annotated[
        bool,
        "do not guess from the text so far how it goes on. Guesses that come true save time, and the text is"
        " the same; only greedy text of one sample is guessed",
    ] = False,
    draft: Annotated[
        str | None,
        "let a smaller model of the same vocabulary guess: --model 1558M --draft 124M",
    ] = None,
    no_fast: flags.NoFast = False,
    threads: flags.Threads = 0,
    n: Annotated[
        int | None,
        Section("the text"),
        Range(0, below=2**63),
        Usual("as the model's generation_config.json says, else 40"),
        "how many tokens to add ({}; also --n_tokens_to_generate). A context that fills up goes on from its"
        " newest half",
    ] = None,
    stop: Annotated[
        list,
        "TEXT",
        'end before this text; may be given several times. "<|endoftext|>" is the end of a document, after'
        " which GPT-2 begins another",
    ] = (),
    plain: Annotated[
        bool,
        "leave the model's generation_config.json aside, which may also say where a text ends and how to"
        " choose: 40 tokens, greedy, and <|endoftext|> is written like others",
    ] = False,
    n_samples: Annotated[int, Range(1, below=2**16), "how many continuations"] = 1,
    temperature: Annotated[
        float | None,
        Section("the choice of each token"),
        "0: always the likeliest token; 1: by the model's probabilities; the higher, the bolder (0; with"
        " --top_k, --top_p or --seed: 1)",
    ] = None,
    top_k: Annotated[int | None, "choose among the N likeliest tokens (0: all)"] = None,
    top_p: Annotated[
        float | None, "choose among the likeliest tokens that together have probability X (1: all)"
    ] = None,
    top_p_rule: Annotated[
        str | None,
        "RULE",
        "whether the token that crosses X is left out, openai, or kept, hf (openai; hf for a top_p of the"
        " model's generation_config.json)",
    ] = None,
    min_p: Annotated[
        float | None,
        "choose among tokens with at least X times the likeliest one's probability (0: all)",
    ] = None,
    typical_p: Annotated[
        float | None, "choose among the most typical tokens that together have probability X (1: all)"
    ] = None,
    repetition_penalty: Annotated[
        float | None, "make tokens that are in the text, or prompt, less likely: 1.2, say (1: as they are)"
    ] = None,
    no_repeat_ngram_size: Annotated[
        int | None, "let no N tokens in a row come twice in text and prompt (0: they may)"
    ] = None,
    logit_bias: Annotated[
        list,
        "ID=X",
        "add X to the logit of a token, -inf: never choose it; may be given several times. For ID also the"
        " token's text",
    ] = (),
    seed: Annotated[flags.Seed | None, "make the choice the same each time"] = None,
    beams: Annotated[
        int,
        Range(0, below=2**16),
        "search the most probable text with so many beginnings side by side; --n_samples says how many of"
        " them to write (0: choose token by token)",
    ] = 0,
    length_penalty: Annotated[
        float | None, "how much longer texts are favoured by --beams: 0, not at all (1)"
    ] = None,
    json: Annotated[
        bool,
        Section("the output"),
        "write a line of JSON for each sample: ids, text, log_probs (the model's own, before temperature and"
        " all else; of --beams the score instead), and ended: stop, end (of a document) or length",
    ] = False,
    interactive: Annotated[
        bool,
        "continue text line by line, with the model loaded once; /help there lists what can be changed"
        " (also -i)",
    ] = False,
    verbose: Annotated[bool, "load time, speed and memory, on stderr"] = False,
):
    """Continue a prompt as the docstring of this module says; these are the command's flags."""
    command.check(continue_text, locals())
    check_flags(n_samples, no_cache, draft, stop)
    chosen = dict(
        temperature=temperature, top_k=top_k, top_p=top_p, top_p_rule=top_p_rule, seed=seed, min_p=min_p,
        typical_p=typical_p, repetition_penalty=repetition_penalty, no_repeat_ngram_size=no_repeat_ngram_size,
    )  # fmt: skip
    check_beams(beams, chosen, length_penalty, n_samples, no_cache, draft)
    make_choice({}, chosen)
    machine.set_threads(threads)
    if no_fast:
        compiled.turn_off()
    if interactive:
        for name, value in dict(beams=beams, json=json, logit_bias=logit_bias).items():
            if value:
                command.usage_error(f"--{name} has no effect with --interactive")
        go_on(prompt, model, models_dir, source, offline, special, plain, n, chosen, dtype)
        return
    prompt = read_prompt(prompt)
    started = time.perf_counter()
    model = choose_model(model, models_dir)
    said = {} if plain else usage.read(weights.find(model, models_dir, source, offline))
    params, hparams, encoder = weights.load_with_encoder(model, models_dir, source, offline, special, dtype)
    ids = prompt_ids(prompt, encoder, hparams["n_ctx"], truncate)
    chosen["logit_bias"] = read_bias(logit_bias, encoder)
    alike = n_samples > 1 and not beams
    n, choice, ends = usage.n_new(said, n, len(ids)), make_choice(said, chosen, alike), usage.ends(said)
    if beams:
        penalty = 1.0 if length_penalty is None else length_penalty
        found = beam_search(params, hparams["n_head"], ids, n, beams, penalty, ends=ends, choice=choice)
        output.write_beams(prompt, found[:n_samples], encoder, stop, ends, n, plain, json)
        return
    where = models_dir, source, offline
    guesser = choose_guesser(no_lookup, draft, where, encoder, choice.temperature, n_samples, dtype)
    ready = time.perf_counter()
    taken, log_probs = [], [] if json else None  # (when, how many tokens) of each step; numbers of each step
    steps = stream(
        params, hparams["n_head"], [ids] * n_samples, n, choice,
        finished=stop_at(encoder, ends, stop), use_cache=not no_cache, guesser=guesser,
        log_probs=log_probs,
    )  # fmt: skip
    steps = timed(steps, taken)
    try:
        if json:
            output.write_json(steps, log_probs, encoder, stop, ends, n_samples)
            return
        steps = without(steps, ends)
        if n_samples == 1:
            output.write_one(prompt, steps, encoder, stop, n, plain)
        else:
            output.write_all(prompt, steps, encoder, stop, n, n_samples, plain)
    finally:
        if verbose:
            report(n_params(hparams), len(ids) * n_samples, started, ready, taken, guesser, said)


def go_on(prompt, model, models_dir, source, offline, special, plain, n, chosen, dtype):
    """Continue a text line by line, until Ctrl-D; a prompt is its first line.

    The room is entered by its name, as it comes after this one: its /explain needs what needs this.
    """
    model = choose_model(model, models_dir)
    said = {} if plain else usage.read(weights.find(model, models_dir, source, offline))
    loaded = importlib.import_module("picogpt.chat.model").load(
        model, models_dir, special, source=source, offline=offline, dtype=dtype
    )
    talk, session = (importlib.import_module(f"picogpt.chat.{name}") for name in ("talk", "session"))
    choice = dataclasses.asdict(make_choice(said, chosen))
    del choice["logit_bias"]  # an empty one
    chat = talk.Chat(loaded, None, usage.n_new(said, n, 0), **choice)
    if prompt is not None:
        session.answer(chat, prompt)
    session.run(chat)


def check_flags(n_samples, no_cache, draft, stop):
    """End the program, naming the flag, for a flag that has no effect: before anything is loaded."""
    if draft is not None and (n_samples > 1 or no_cache):
        command.usage_error("--draft is for one sample at a time, with a cache")
    if "" in stop:
        command.usage_error("--stop must not be empty")
    if any("\ud800" <= char <= "\udfff" for char in "".join(stop)):
        command.usage_error("--stop must be UTF-8 text")


def check_beams(beams, chosen, length_penalty, n_samples, no_cache, draft):
    """End the program for a flag that has no effect with beams, or without."""
    if not beams:
        if length_penalty is not None:
            command.usage_error("--length_penalty has no effect without --beams")
        return
    drawing = [name for name in DRAWING if chosen[name] is not None]
    for name in drawing + ["no_cache"] * no_cache + ["draft"] * (draft is not None):
        command.usage_error(f"--{name} has no effect with --beams")
    if n_samples > beams:
        command.usage_error(f"--n_samples {n_samples} is more than --beams {beams} find")


def read_bias(given, encoder):
    """Return {id: bias} of texts such as "262=-5" or " the=-5"."""
    biases = {}
    for text in given:
        token, _, bias = text.rpartition("=")
        ids = [int(token)] if token.isascii() and token.isdigit() else encoder.encode(token)
        try:
            [i] = ids
            biases[i] = float(bias)
        except ValueError:
            command.usage_error(f"--logit_bias takes one token, = and a number, not {text!r}")
    return biases


def make_choice(said, flags, alike=False):
    """Return the Choice of flags and of what the model's file says, or end the program, naming the flag."""
    try:
        choice = Choice(**usage.choice(said, **flags), seed=flags["seed"])
    except ValueError as error:
        command.usage_error(f"--{error}")
    if alike and choice.temperature == 0:
        log.warning("all samples will be alike, as the choice is greedy: give --temperature or --seed")
    return choice


def read_prompt(prompt):
    """Return the prompt as given, or from stdin."""
    if prompt is None and sys.stdin and sys.stdin.isatty():
        command.usage_error('PROMPT is missing; an empty one, "", begins a new text')
    if prompt is None or prompt == "-":
        content = b"" if sys.stdin is None else sys.stdin.buffer.read()
        prompt = from_utf8(content, "stdin").removesuffix("\n").removesuffix("\r")
    if wrong := [char for char in prompt if "\ud800" <= char <= "\udfff"]:  # how Python passes other bytes on
        raise ValueError(f"the prompt is not UTF-8 text: it has {wrong[0]!r} in it; convert it")
    return prompt


def choose_model(model, models_dir):
    """Return the model that was asked for, else 124M if it is there, else the bundled one, saying so."""
    if model is not None:
        return model
    if any(weights.is_complete(Path(models_dir, name)) for name in ("124M", "gpt2")):
        return "124M"
    log.warning("using the small bundled model; --model 124M fetches OpenAI's GPT-2 (500 MB)")
    return weights.shipped("tales")


def choose_guesser(no_lookup, draft, where, encoder, temperature, n_samples, dtype):
    """Return what guesses the next tokens, see guess.py, or False for nothing."""
    if draft is None:
        return Lookup() if temperature == 0 and n_samples == 1 and not no_lookup else False
    params, its, its_encoder = weights.load_with_encoder(draft, *where, dtype=dtype)
    if its_encoder.encoder != encoder.encoder:
        raise ValueError(f"--draft {draft} cannot guess for this model: it has another vocabulary")
    return DraftModel(params, its["n_head"])


def prompt_ids(prompt, encoder, n_ctx, truncate):
    """Return the ids that the model starts from; for an empty prompt those that begin a document."""
    ids = encoder.encode(prompt) or [encoder.start]
    if len(ids) > n_ctx and not truncate:
        raise ValueError(
            f"the prompt has {len(ids)} tokens and this model's context {n_ctx}: --truncate keeps the newest"
        )
    return ids[-n_ctx:]


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
    if peak := peak_memory():
        said.append(f"peak memory {peak / 1e6:,.0f} MB")
    print("picogpt: " + "; ".join(said), file=sys.stderr)


def peak_memory():
    """Return the most memory this process has held, in bytes, or None where the system does not tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main():
    """Run the command with the words of the command line."""
    command.run(continue_text, aliases=ALIASES)
