"""What a model costs: its parameters, arithmetic and memory, and days of training.

usage: python -m picogpt.sizing [NAME] [flags]

Computes all from the hyper-parameters; the model itself is not needed. Without a NAME and flags, it lists
the models that have a name.

{flags}

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from picogpt.checkpoints import names, weights
from picogpt.params.checks import check_hparams
from picogpt.params.options import OPTIONS, AllOptions
from picogpt.params.shapes import SIZES, n_params, param_shapes
from picogpt.params.tree import walk
from picogpt.sizing.presets import PRESETS
from picogpt.system import command, flags
from picogpt.system.signature import Range, Section

FLOAT = 4  # bytes


@dataclass
class Settings(AllOptions):
    """What is asked for: the flags of the command."""

    name: Annotated[
        str, "a model by name, such as gpt2 or gpt3-175B; 124M, 355M, 774M, 1558M; or a folder"
    ] = ""
    _: KW_ONLY
    batch_size: Annotated[flags.BatchSize, "sequences of n_ctx tokens at a time, for memory"] = 1
    flops: Annotated[
        float, Range(above=0), "what the hardware can do, in FLOPs per second ({}: an A100 in bfloat16)"
    ] = 312e12
    mfu: Annotated[float, Range(above=0), "model FLOPs utilisation: the share of it that training uses"] = 0.3
    tokens: Annotated[
        float | None,
        Range(above=0),
        "how many tokens to train on (what Chinchilla's law finds best for this size)",
    ] = None

    n_vocab: Annotated[
        flags.Count | None,
        Section("what differs from NAME, or the whole model"),
        "tokens in the vocabulary",
    ] = None
    n_ctx: flags.Context | None = None
    n_embd: flags.Channels | None = None
    n_head: flags.Heads | None = None
    n_layer: flags.Layers | None = None


def sizing(c: Settings):
    """Print what a model costs, as the docstring of this module says."""
    command.check(sizing, c)
    changes = {key: value for key in [*SIZES["124M"], *OPTIONS] if (value := getattr(c, key)) is not None}
    if not c.name and not changes:
        print("\n".join(catalogue()))
        return
    hparams = find_hparams(c.name) | changes
    if missing := [f"--{key}" for key in SIZES["124M"] if key not in hparams]:
        command.usage_error(f"{c.name or 'a model'} needs {', '.join(missing)} too")
    check_hparams(hparams)
    print("\n".join(report(hparams, c.batch_size, c.flops, c.mfu, c.tokens)))


def find_hparams(name):
    """Return the hyper-parameters of a name or a folder; some presets lack a few; {} for no name."""
    if not name or name in PRESETS:
        return PRESETS.get(name, {})
    if name in SIZES:
        return SIZES[name]
    if Path(name).is_dir() or name in names.OLD_NAMES:
        return weights.read_hparams(weights.find(name))
    raise ValueError(f"{name!r} is neither a folder nor a model's name; the names are {', '.join(PRESETS)}")


def catalogue():
    """Yield the lines of the list of all names."""
    yield f"{'name':12s} {'layers':>6s} {'heads':>5s} {'channels':>8s} {'context':>7s} {'parameters':>15s}"
    for name, hparams in PRESETS.items():
        whole = "n_ctx" in hparams
        count = f"{n_params(hparams):,}" if whole else "by its text"
        sizes = f"{hparams['n_layer']:6d} {hparams['n_head']:5d} {hparams['n_embd']:8d}"
        yield f"{name:12s} {sizes} {hparams['n_ctx'] if whole else '':>7} {count:>15s}"


def report(hparams, batch_size=1, flops=312e12, mfu=0.3, tokens=None):
    """Yield the lines that say what a model costs."""
    parameters, memory, arithmetic = count(hparams), bytes_needed(hparams, batch_size), count_flops(hparams)
    N, T = parameters["all"], hparams["n_ctx"]
    yield ", ".join(f"{key} {value}" for key, value in hparams.items())
    yield "\nparameters"
    yield from (f"  {part:28s} {n:23,d}" for part, n in parameters.items())
    yield f"\nFLOPs, for one sequence of {T:,} tokens"
    yield from (f"  {part:28s} {n:23,d}" for part, n in arithmetic.items())
    yield f"\nmemory in MB, in float32, for {batch_size} x {T:,} tokens"
    yield from (f"  {part:28s} {n / 1e6:23,.1f}" for part, n in memory.items())
    best = best_tokens(N)
    tokens = tokens or best
    days = 6 * N * tokens / (flops * mfu) / 86400
    share = f"{tokens / N:.1f} for each parameter; Chinchilla's best: {best:.4g}"
    yield f"\ntraining on {tokens:.4g} tokens ({share})"
    yield f"  {'FLOPs (6 N D)':28s} {6 * N * tokens:23.4g}"
    yield f"  {'days':28s} {days:23,.4g}   at {mfu:g} of {flops:.4g} FLOPs per second"
    yield f"  {'loss':28s} {loss(N, tokens):23.3f}   nats per token, of Chinchilla's data and tokens"


def count(hparams):
    """Return {part: its parameters}; the blocks, and the rest, are what is left without embeddings."""
    of = {path: math.prod(shape) for path, shape in walk(param_shapes(**hparams))}
    parts = {"token embedding": of["wte"], "position embedding": of["wpe"]}
    parts["blocks"] = sum(n for path, n in of.items() if path.startswith("blocks."))
    parts["final norm"] = sum(n for path, n in of.items() if path.startswith("ln_f."))
    parts["output head of its own"] = of.get("lm_head", 0)
    parts["all"] = n_params(hparams)
    parts["all but positions"] = parts["all"] - of["wpe"]  # nanoGPT's count
    parts["all but embeddings"] = parts["all but positions"] - of["wte"]
    return parts


def count_flops(hparams):
    """Return {part: the FLOPs of its matrix products} for one sequence of n_ctx tokens, two per product.

    Attention counts as if there were no mask; the backward pass as two forwards, as in nanoGPT. The estimate
    of Chowdhery et al. 2022, appendix B, takes 6 for each parameter and token, positions' left out, and 12 C
    for each layer, token and token looked at.
    """
    C, L, T = hparams["n_embd"], hparams["n_layer"], hparams["n_ctx"]
    inner = hparams.get("n_inner") or 4 * C
    parts = {
        "queries, keys, values": L * 2 * T * C * 3 * C,
        "attention": L * 2 * (2 * T * T * C),
        "attention's projection": L * 2 * T * C * C,
        "feed-forward": L * 2 * T * C * inner * 2,
        "adapters": L * 2 * (2 * T * C * hparams.get("adapter", 0) * 2),
        "output head": 2 * T * C * hparams["n_vocab"],
    }
    forward = sum(parts.values())
    palm = (6 * count(hparams)["all but positions"] + 12 * L * C * T) * T
    return parts | {
        "forward": forward,
        "forward and backward": 3 * forward,
        "the same, by PaLM's estimate": palm,
    }


def bytes_needed(hparams, batch_size=1):
    """Return {part: bytes in float32} of training all of it on and of generating `batch_size` sequences.

    In training, a block keeps for each token x, ln_1, q, k, v, the heads, x_mid, ln_2, and 4 C each, or
    n_inner, before and after gelu: 16 C; each of two adapters of n channels what it took, C, and n before and
    after gelu; ReZero what both parts put out, 2 C. The model keeps x and ln_f; the logits stand beside their
    derivative.
    """
    C, L, T, V = (hparams[key] for key in ("n_embd", "n_layer", "n_ctx", "n_vocab"))
    n = hparams.get("adapter", 0)
    block = 8 * C + 2 * (hparams.get("n_inner") or 4 * C) + (2 * (C + 2 * n) if n else 0)
    block += 2 * C if hparams.get("rezero") else 0
    weight, rows = FLOAT * n_params(hparams), FLOAT * batch_size * T
    activations, logits = rows * (block * L + 2 * C), rows * 2 * V
    late = hparams.get("time_mixed") or (C // 2 if hparams.get("time_mixing") else 0)
    cache = rows * 2 * L * C + FLOAT * batch_size * L * (T + 1) * late
    return {
        "weights": weight,
        "gradients": weight,
        "AdamW's moments": 2 * weight,
        "activations": activations,
        "logits, their derivative": logits,
        "training": 4 * weight + activations + logits,
        "key-value cache": cache,
        "generating": weight + cache,
    }


def best_tokens(n):
    """Return how many tokens to train n parameters on, to spend a given amount of arithmetic best.

    A line through the logarithms of Hoffmann et al. 2022, table A3, as nanoGPT's scaling_laws.ipynb fits it.

    >>> f"{best_tokens(124e6):.2e}"
    '2.29e+09'
    """
    return 10 ** (1.04096 * math.log10(n) + 0.93539)


def loss(n, tokens):
    """Return the loss, in nats per token, that n parameters reach on so many tokens.

    1.69 + 406.4 / n^0.34 + 410.7 / tokens^0.28 (Hoffmann et al. 2022, section 3.3)

    >>> round(loss(70e9, 1.4e12), 2)  # Chinchilla itself
    1.94
    """
    return 1.69 + 406.4 / n**0.34 + 410.7 / tokens**0.28
