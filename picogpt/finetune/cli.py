"""Fine-tune a model on a text, or on prompts and their completions: all of its parameters, or a few.

usage: python -m picogpt.finetune [FILE] [--model NAME] [--lora RANK | --adapters N | --train NAMES]

Leaves in FOLDER a model for `python -m picogpt --model FOLDER`, log.jsonl, and result.json with the held-out
loss before and after, the share of the parameters that was trained, and the memory of the optimiser's state.

{flags}

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
import math
from pathlib import Path
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.finetune import examples, tuning
from picogpt.generate import Choice, generate
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy
from picogpt.system import command, flags
from picogpt.system.signature import FREE, Section
from picogpt.text import data
from picogpt.text.stop import stop_at
from picogpt.train import runs, trainer


def finetune(
    file: Annotated[
        runs.Text,
        'a UTF-8 text: every token is learned; or a .jsonl of examples, one a line: {"prompt", "completion"}'
        ' or {"instruction", "input", "output"}: only the completion is learned, and its end',
    ] = str(runs.SHAKESPEARE),
    *,
    model: tuning.Model = "tales",
    out: flags.Out = "runs/finetune",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    special: flags.Special = False,
    template: Annotated[
        str,
        "TEXT",
        "what makes a prompt of an example: plain, article, label, instruction, or a text such as"
        ' "Q: {prompt}\\nA: "',
    ] = "plain",
    prompt: Annotated[
        str,
        FREE,
        "TEXT",
        "what the sample continues in the end (nothing; of examples: the first one held out)",
    ] = "",
    train: Annotated[
        str | None,
        Section("what is trained"),
        "NAMES",
        'arrays whose names match: "blocks.3.*,ln_f.*"; "wte" is the output head, too, or "lm_head" where'
        " there is one (all; with LoRA or adapters none but these)",
    ] = None,
    lora: tuning.Lora = 0,
    lora_on: tuning.LoraOn = tuning.MATRICES,
    adapters: tuning.Adapters = 0,
    steps: Annotated[flags.Steps, Section("the training")] = 100,
    batch_size: Annotated[flags.BatchSize, "windows, or examples, in a batch"] = 8,
    n_ctx: Annotated[flags.Whole, "tokens in a window, at most the model's ({}: so many)"] = 0,
    lr: tuning.Rate = None,
    warmup: flags.Warmup = 10,
    schedule: tuning.Schedule = "cosine",
    min_lr: tuning.LowestRate = None,
    dropout: flags.Dropout = 0.0,
    val_share: flags.ValShare = 0.1,
    eval_every: flags.EvalEvery = 50,
    seed: tuning.Seed = 1337,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
):
    """Train as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(finetune, locals())
    tuning.check_flags(run.settings)
    if template != "plain" and Path(file).suffix != ".jsonl":
        command.usage_error("--template has no effect on a text: FILE must be a .jsonl of examples")
    if not val_share:
        command.usage_error("--val_share must be more than 0: the result is that of what is held out")
    params, hparams, encoder = weights.load_with_encoder(model, special=special)
    run.settings["model_sha256"] = tuning.fingerprint(params)
    n_ctx = min(n_ctx or hparams["n_ctx"], hparams["n_ctx"])
    rows, held_out, first = read(file, template, encoder, n_ctx, val_share)
    asked = encoder.encode(prompt or first, template=False)
    rng, n_head = np.random.default_rng(seed), hparams["n_head"]
    params, hparams, trained = tuning.begin(params, hparams, rng, train, lora, lora_on, adapters)
    results = tuning.trained_share(params, trained)

    def evaluate():
        with tuning.in_use(params, trained):
            return mean_loss(params, held_out, n_head, batch_size)

    def look(step):
        return dict(val_loss=evaluate()) if step % eval_every == 0 and step < steps else {}

    results["held-out loss before"] = evaluate()
    c = tuning.recipe(run.settings, steps)
    draw = functools.partial(examples.random_batch, rows, batch_size)
    gradients = tuning.gradients_of(params, trainer.language_model(n_head, run.comm))
    runs.train(run, runs.start(run, trained, c), c, draw, gradients, look)
    results["held-out loss after"] = evaluate()
    tuning.save(run.folder, params, hparams, encoder, trained, model)
    results["sample"] = encoder.decode(asked) + sample(params, n_head, encoder, asked, seed)
    runs.finish(run, results, {})


def read(file, template, encoder, n_ctx, val_share):
    """Return the rows to train on, those held out, and what a sample continues; see examples.py."""
    if Path(file).suffix == ".jsonl":
        pairs = [examples.fill(record, template) for record in examples.read_records(file).values()]
        cut = min(len(pairs) - 1, math.ceil(len(pairs) * (1 - val_share)))
        if cut < 1:
            raise ValueError(f"{file} has one example: give at least one to learn and one to hold out")
        rows, held_out = (examples.encode(part, encoder, n_ctx) for part in (pairs[:cut], pairs[cut:]))
        return rows, held_out, pairs[cut][0]
    parts = data.split(data.read_text(file), val_share)
    rows, held_out = (examples.windows(data.encode(part, encoder), n_ctx) for part in parts)
    return rows, held_out, ""


def mean_loss(params, rows, n_head, batch_size):
    """Return the mean loss, in nats per token that is learned, of all rows."""
    total = n = 0
    for begin in range(0, len(rows), batch_size):
        ids, targets = examples.batch(rows[begin : begin + batch_size])
        counted = (targets != -1).sum()
        total += float(cross_entropy(gpt2(ids, params, n_head), targets)) * counted
        n += counted
    return float(total / n)


def sample(params, n_head, encoder, asked, seed, n_new=100):
    """Return what the model writes after the ids of a prompt, up to the end that it sets itself."""
    n_ctx, end = len(params["wpe"]), encoder.start if encoder.eot is None else encoder.eot
    ids, finished = [encoder.start, *asked][-n_ctx:], stop_at(encoder, [end])
    n_new = min(n_new, n_ctx)
    choice = Choice(temperature=0.8, top_k=40, seed=seed)
    [new] = generate(params, n_head, [ids], n_new, choice, finished)
    return encoder.decode([i for i in new if i != end])
