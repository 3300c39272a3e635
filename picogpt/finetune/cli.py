"""Fine-tune a model on a text, or on prompts and what is to follow them: all of it, or little.

usage: python -m picogpt.finetune [FILE] [--model NAME] [--lora RANK | --adapters N | --train NAMES]

Leaves in FOLDER a model for `python -m picogpt --model FOLDER`, log.jsonl, and result.json with the held-out
loss before and after, the share of the parameters that was trained, and the memory of the optimiser's state.

  FILE                a UTF-8 text (tests/data/tinyshakespeare.txt): every token is learned; or a .jsonl of
                      examples, one a line: {"prompt", "completion"} or {"instruction", "input",
                      "output"}: only the completion is learned, and its end
  --model NAME        what to start from: 124M ..., a folder, or the bundled model (tales)
  --out FOLDER        where all goes (runs/finetune)
  --resume            go on from the state, saved in FOLDER every half minute, to the same result, by the
                      flags that the run began with
  --overwrite         begin anew in a FOLDER that holds a run, instead of refusing to
  --template TEXT     what makes a prompt of an example: plain, article, label, instruction, or a text
                      such as "Q: {prompt}\\nA: " (plain)
  --prompt TEXT       what the sample at the end continues (""; of examples: the first one held out)

 what is trained
  --train NAMES       arrays whose names match: "blocks.3.*,ln_f.*"; "wte" is the output head, too, or
                      "lm_head" where there is one (all; with LoRA or adapters none but these)
  --lora RANK         low-rank updates of matrices (0: none); the model is saved with them merged, and
                      they alone as lora.safetensors
  --lora_on NAMES     of which matrices ("blocks.*.w")
  --adapters N        bottlenecks of N channels after attention and feed-forward layers (0: none)

 the training
  --steps N           parameter updates (100)
  --batch_size N      windows, or examples, in a batch (8)
  --n_ctx N           tokens in a window, at most the model's (0: so many)
  --lr X --warmup N   learning rate: linearly up to lr in N (10) steps, then along a cosine down to a
                      tenth of it (0.0005; with LoRA 0.01, with adapters 0.005)
  --dropout X         (0.0)
  --val_share X       share of FILE that is held out at its end (0.1)
  --eval_every N      steps between evaluations (50)
  --seed N            of what is new in the model, the batches and the dropout (1337)
  --threads N         compute on so many cores (0: on all, or as OMP_NUM_THREADS says)

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
import math
from pathlib import Path

import numpy as np

from picogpt.checkpoints import weights
from picogpt.finetune import examples, tuning
from picogpt.generate import generate, stop_at
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy
from picogpt.system import command
from picogpt.text import data
from picogpt.train import runs, trainer


def finetune(
    file: str = str(runs.SHAKESPEARE),
    *,
    model: str = "tales",
    out: str = "runs/finetune",
    resume: bool = False,
    overwrite: bool = False,
    template: str = "plain",
    prompt: str = "",
    train: str | None = None,
    lora: int = 0,
    lora_on: str = tuning.MATRICES,
    adapters: int = 0,
    steps: int = 100,
    batch_size: int = 8,
    n_ctx: int = 0,
    lr: float | None = None,
    warmup: int = 10,
    dropout: float = 0.0,
    val_share: float = 0.1,
    eval_every: int = 50,
    seed: int = 1337,
    threads: int = 0,
):
    """Train as the docstring of this module says; these defaults are the command's."""
    run = runs.open_run(finetune, locals())
    tuning.check_flags(run.settings)
    if template != "plain" and Path(file).suffix != ".jsonl":
        command.usage_error("--template has no effect on a text: FILE must be a .jsonl of examples")
    if not val_share:
        command.usage_error("--val_share must be more than 0: the result is that of what is held out")
    params, hparams, encoder = weights.load_with_encoder(model)
    run.settings["model_sha256"] = tuning.fingerprint(params)
    n_ctx = min(n_ctx or hparams["n_ctx"], hparams["n_ctx"])
    rows, held_out, first = read(file, template, encoder, n_ctx, val_share)
    asked = encoder.encode(prompt or first)
    rng, n_head = np.random.default_rng(seed), hparams["n_head"]
    params, hparams, trained = tuning.begin(params, hparams, rng, train, lora, lora_on, adapters)
    results = tuning.share(params, trained)

    def evaluate():
        with tuning.in_use(params, trained):
            return mean_loss(params, held_out, n_head, batch_size)

    def look(step):
        return dict(val_loss=evaluate()) if step % eval_every == 0 and step < steps else {}

    results["held-out loss before"] = evaluate()
    c = tuning.recipe(run.settings, steps)
    draw = functools.partial(examples.random_batch, rows, batch_size)
    gradients = tuning.gradients_of(params, trainer.language_model(n_head))
    runs.train(run, runs.start(run, trained, c), c, draw, gradients, look)
    results["held-out loss after"] = evaluate()
    tuning.save(run.folder, params, hparams, encoder, trained)
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
    n_ctx, end = len(params["wpe"]), encoder.start
    ids, finished = [end, *asked][-n_ctx:], stop_at(encoder, [end])
    n_new = min(n_new, n_ctx)
    [new] = generate(params, n_head, [ids], n_new, temperature=0.8, top_k=40, seed=seed, finished=finished)
    return encoder.decode([i for i in new if i != end])
