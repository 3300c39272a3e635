"""Train a small GPT-2 on a text in tokens of several characters, and let it write on.

usage: python -m picogpt.projects.words [FILE] [flags]

minGPT announced this beside its play_char, as play_words, and never shipped it. The tokenizer is learned
from the text, as bpe_train.py says, or is GPT-2's. The end of the text is held out, from the tokenizer too.

Losses per token say nothing between tokenizers, of which one has longer tokens than the other. So the
result is in bits per byte of the held-out text: what it would be compressed to, by this model.

{flags}

Then `python -m picogpt "ROMEO:" --model runs/words` goes on with a text. The model and its training are
those of nanoGPT's recipe for a CPU, which learns characters: 1.88 nats for each of tinyshakespeare's.
"""

import functools
import math
import time
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import Choice, generate
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.speed.shards import batch_loss
from picogpt.system import command, flags
from picogpt.system.signature import FREE
from picogpt.text import bpe_train, data
from picogpt.train import runs, trainer
from picogpt.train.prepare import byte_pairs, encode_splits
from picogpt.train.settings import Recipe

NANOGPT = {
    "bits per byte": f"{1.88 / math.log(2):.3f} (nanoGPT's recipe for a CPU: tinyshakespeare's characters)"
}


def words(
    file: Annotated[
        runs.Text, "a UTF-8 text, with lines of <|endoftext|> between documents if there are several"
    ] = str(runs.SHAKESPEARE),
    *,
    out: flags.Out = "runs/words",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    tokenizer: Annotated[str, "train: learn one; gpt2: take GPT-2's; or a folder with a vocab.bpe"] = "train",
    n_vocab: Annotated[flags.Count, "how many tokens: the bytes, <|endoftext|> and N - 257 merges"] = 1024,
    n_layer: flags.Layers = 4,
    n_head: flags.Heads = 4,
    n_embd: flags.Channels = 128,
    n_ctx: flags.Context = 64,
    steps: flags.Steps = 2000,
    batch_size: flags.BatchSize = 12,
    lr: flags.LearningRate = 2e-3,
    warmup: flags.Warmup = 100,
    dropout: flags.Dropout = 0.0,
    val_share: flags.ValShare = 0.1,
    n_sample: Annotated[flags.Whole, FREE, "tokens to write in the end"] = 200,
    seed: Annotated[
        flags.Seed, "of the initial weights, the batches, the dropout and what is written"
    ] = 1337,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
):
    """Train as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(words, locals())
    if not val_share:
        command.usage_error("--val_share must be more than 0: the result is that of the held-out text")
    hparams = dict(n_vocab=n_vocab, n_ctx=n_ctx, n_embd=n_embd, n_head=n_head, n_layer=n_layer)
    check_hparams(hparams)
    text, began = run.text, time.monotonic()
    if tokenizer == "train":
        encoder = bpe_train.train(data.split(text, val_share)[0], n_vocab)
    else:
        encoder = byte_pairs(tokenizer, n_vocab)
    learned = time.monotonic() - began
    seen, held_out = encode_splits(text, encoder, val_share, n_ctx)
    params = init_params(hparams, np.random.default_rng(seed))

    c = Recipe(steps=steps, lr=lr, min_lr=lr / 10, warmup=warmup, dropout=dropout)
    draw = functools.partial(data.random_batch, seen, batch_size, n_ctx)
    runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm))
    weights.save(run.folder, params, hparams, encoder)
    nats, n_bytes = loss_per_token(params, n_head, held_out, n_ctx, encoder)
    results = {
        "bits per byte": round(nats / n_bytes / math.log(2), 3),
        "nats per token": round(nats, 3),
        "bytes per token": round(n_bytes, 3),
        "seconds for the tokenizer": round(learned, 1),
        "parameters": n_params(hparams),
        "sample": sample(params, n_head, encoder, encoder.eot in seen, n_sample, seed),
    }
    runs.finish(run, results, NANOGPT)


def loss_per_token(params, n_head, ids, n_ctx, encoder):
    """Return the mean loss in nats, and the mean length in bytes, of the tokens that are to be foreseen.

    Window follows upon window, each without knowledge of the one before; what is left over at the end
    counts for nothing. An <|endoftext|> has no bytes.
    """
    n = (len(ids) - 1) // n_ctx * n_ctx
    windows = ids[:n].reshape(-1, n_ctx).astype(np.int64)
    targets = ids[1 : n + 1].reshape(-1, n_ctx).astype(np.int64)
    n_bytes = sum(len(encoder.token_bytes(i)) for i in targets.ravel().tolist() if i != encoder.eot)
    return batch_loss(params, windows, targets, n_head), n_bytes / n


def sample(params, n_head, encoder, knows_documents, n, seed):
    """Return n tokens of the model's text, from the beginning of a document or else of a line."""
    prompt = [encoder.eot] if knows_documents else encoder.encode("\n")
    [ids] = generate(params, n_head, [prompt], n, Choice(temperature=0.8, seed=seed))
    return encoder.decode(ids)


if __name__ == "__main__":
    runs.main(words)
