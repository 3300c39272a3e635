"""The settings of a training: each with its default, the values that are allowed, and what it means.

They are the flags of `python -m picogpt.train`. Its help, its checks, settings.json and what must stay the
same when a training resumes all follow from this list. system/signature.py tells how to read an annotation,
and system/flags.py has the flags of several commands. None means that the value follows from others, see
`completed`. The defaults are nanoGPT's recipe for a CPU, at twice its learning rate.
"""

import dataclasses
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from picogpt.descendants.initial import DEVIATIONS
from picogpt.params.options import Options
from picogpt.sizing.presets import preset
from picogpt.system import command, flags
from picogpt.system.flags import Count, Real, Share, Tokens, Whole
from picogpt.system.signature import CALL, FREE, OneOf, Section, Usual, names_of, parameters
from picogpt.train.muon import OPTIMIZERS
from picogpt.train.optim import DECAYS, SCHEDULES


@dataclass(kw_only=True)
class Recipe:
    """How an update is made: of a language model, or of anything else that learns by gradients."""

    steps: Annotated[flags.Steps, Section("the training")] = 2000
    accumulate: Annotated[Count, "batches whose gradients are averaged for one update"] = 1
    ramp_tokens: Annotated[
        Tokens, "begin with updates of one batch, and grow to --accumulate over so many tokens ({}: no ramp)"
    ] = 0
    lr: Annotated[Real, "learning rate after the warm-up; from there it decays to --min_lr"] = 2e-3
    min_lr: Annotated[Real | None, "learning rate at the end (a tenth of --lr)"] = None
    warmup: Annotated[Whole, "updates in which the learning rate rises linearly to --lr"] = 100
    warmup_tokens: Annotated[Tokens, "the same in tokens, instead of --warmup ({}: by updates)"] = 0
    decay_tokens: Annotated[
        Tokens, "tokens after which the learning rate is --min_lr ({}: at the end of the training)"
    ] = 0
    schedule: Annotated[
        str,
        OneOf(*SCHEDULES),
        "decay after the warm-up: cosine; floor, a cosine to 0 that stops at --min_lr (minGPT's); linear; or"
        " constant",
    ] = "cosine"
    weight_decay: Annotated[Real, "each update takes off this share of a weight, times the learning rate"] = (
        0.1
    )
    decay: Annotated[
        str,
        OneOf(*DECAYS),
        "which weights decay: matrices, also the embeddings (nanoGPT's rule); linear, those of linear layers"
        " (minGPT's)",
    ] = "matrices"
    beta1: Annotated[Share, "decay of AdamW's running mean of the gradients"] = 0.9
    beta2: Annotated[Share, "decay of AdamW's running mean of their squares"] = 0.99
    optimizer: Annotated[
        str,
        OneOf(*OPTIMIZERS),
        "what moves the matrices of linear layers: adamw, as all the rest; or muon, which needs fewer steps,"
        " each a little slower",
    ] = "adamw"
    clip: Annotated[Real, "largest norm of the gradient, to which a longer one is cut ({}; 0: any)"] = 1.0
    dropout: flags.Dropout = 0.0
    dropout_embd: Annotated[Share | None, "dropout of the embeddings alone (as --dropout)"] = None
    dropout_attn: Annotated[Share | None, "dropout of the attention's probabilities (as --dropout)"] = None
    dropout_resid: Annotated[
        Share | None, "dropout of what is added to the residual stream (as --dropout)"
    ] = None
    batch_tokens: int = 0  # no flag: how many tokens a batch has, for what goes by tokens

    @property
    def lowest_lr(self):
        """The learning rate at the end."""
        return self.lr / 10 if self.min_lr is None else self.min_lr

    def check_rates(self):
        """End the program if the learning rate would end above where it begins."""
        if self.lowest_lr > self.lr:
            command.usage_error(f"--min_lr {self.min_lr} is more than --lr {self.lr}")

    @property
    def dropouts(self):
        """The dropout on embeddings, attention and the residual stream, each its own or the common one."""
        own = self.dropout_embd, self.dropout_attn, self.dropout_resid
        return [self.dropout if p is None else p for p in own]

    @property
    def p_drop(self):
        """The dropout as a model takes it: one number if it is the same in all three places."""
        return self.dropouts[0] if len({*self.dropouts}) == 1 else self.dropouts


@dataclass
class Settings(Options, Recipe):
    """All settings of a training: these, the options of its model, and its recipe."""

    file: Annotated[
        str,
        FREE,
        "the text to train on (UTF-8); or a folder with train.bin and val.bin, ids as nanoGPT prepares them,"
        " which stay on the disk",
    ]
    _: KW_ONLY
    out: Annotated[
        flags.Out,
        "where the model and its tokenizer go, with all that is known of the training: its flags"
        " (settings.json), its log (log.jsonl, which tools/plot.py draws) and its state, to resume from",
    ] = "runs/model"
    resume: Annotated[
        flags.Resume,
        "go on from the state in FOLDER, if there is one: the result is, bit for bit, that of a training that"
        " was never interrupted. The flags are those it began with",
    ] = False
    overwrite: flags.Overwrite = False
    config: Annotated[
        str, CALL, "FILE", "read flags from FILE, JSON as in settings.json; those given here come first"
    ] = ""
    eval_only: Annotated[
        bool, CALL, "train nothing: print the losses of the model that the training would start from"
    ] = False
    max_minutes: Annotated[
        Real, CALL, "stop at the first evaluation after so long; --resume goes on ({}: no limit)"
    ] = 0.0
    processes: flags.Processes = 1
    shard: Annotated[
        bool,
        FREE,
        "each process keeps only its part of AdamW's moments and of the summed gradients (ZeRO stage 2): less"
        " memory, and as many bytes sent",
    ] = False
    threads: Annotated[
        flags.Threads, "compute on so many cores, in each process ({}: on all, or as OMP_NUM_THREADS says)"
    ] = 0

    precision: flags.Precision = "float32"
    val_share: Annotated[flags.ValShare, Section("the data and the reports")] = 0.1
    special: flags.Special = False
    windows: Annotated[
        str,
        OneOf("anywhere", "documents"),
        "where a window of the text begins: anywhere; or where a document does, of which no more than its"
        " first --n_ctx tokens are read then, and the losses are of beginnings",
    ] = "anywhere"
    batch_size: flags.BatchSize = 12
    seed: flags.Seed = 1337
    eval_every: Annotated[Count, "steps between evaluations, after each of which the state is saved"] = 250
    eval_batches: Annotated[Count, "batches that an evaluation averages over"] = 20
    keep: Annotated[
        str, OneOf("best", "last"), "which model stays in FOLDER: the best on the held-out text, or the last"
    ] = "best"
    sample_every: Annotated[Whole, FREE, "steps between samples of the model's text ({}; 0: none)"] = 1000

    init: Annotated[
        str,
        Section("the model"),
        "start from a model, a folder or 124M ..., which then gives the sizes and the tokenizer, instead of"
        " from random numbers. Give a smaller --lr then, and for a large model a smaller --batch_size with"
        " --accumulate",
    ] = ""
    tokenizer: Annotated[
        str | None,
        Usual("chars"),
        "chars: one token for each character of FILE, or the tokenizer in the folder FILE; gpt2: GPT-2's"
        " byte-pair encoding; or a folder with a vocab.bpe",
    ] = None
    n_vocab: Annotated[
        Whole | None,
        Usual(0),
        "use only so many tokens of a byte-pair encoding: the first N - 257 merges ({}: all)",
    ] = None
    n_layer: Annotated[flags.Layers | None, Usual(4)] = None
    n_head: Annotated[flags.Heads | None, Usual(4)] = None
    n_embd: Annotated[flags.Channels | None, Usual(128)] = None
    n_ctx: Annotated[flags.Context | None, Usual(64)] = None
    initial: Annotated[
        str | None,
        OneOf("gpt2", *DEVIATIONS, "orthogonal"),
        Usual("gpt2"),
        "the random numbers that it starts from: gpt2's; igpt's, by width and depth, with a head of zeros"
        " (needs --tied false); small, GPT-NeoX's; or orthogonal matrices",
    ] = None
    preset: Annotated[
        str,
        "sizes and options of a published model, for those of these flags that are not given: gpt-nano, gpt2,"
        " gpt3-125M, igpt-s ...; python -m picogpt.sizing lists them",
    ] = ""

    sha256: str = ""  # no flag: of the text
    starts: tuple = (None, None)  # no flag: where windows of the two texts may begin; None: anywhere

    def given(self):
        """Return the flags of the training that were given, as settings.json holds them."""
        saved = parameters(Settings).keys() - names_of(Settings, CALL)
        return {name: value for name, value in vars(self).items() if name in saved and value is not None}

    def completed(self):
        """Return the settings with what --preset gives, and the usual values, for those of the model.

        It ends the program for a value that is not allowed or a flag that has no effect.
        """
        command.check(Settings, self)
        if self.resume and self.overwrite:
            command.usage_error("--overwrite has no effect with --resume: give one of them")
        c = dataclasses.replace(self)
        usual = NEW | (preset(c.preset) if c.preset else {}) | dict(n_vocab=0)
        if c.init and c.preset:
            command.usage_error("--preset has no effect with --init")
        for name, value in usual.items():
            if getattr(c, name) is None:
                setattr(c, name, value)
            elif c.init:
                command.usage_error(f"--{name} has no effect with --init")
        if c.n_vocab and c.tokenizer == "chars":
            command.usage_error("--n_vocab has no effect with --tokenizer chars")
        if c.ramp_tokens and c.accumulate == 1:
            command.usage_error("--ramp_tokens has no effect without --accumulate")
        if c.n_embd % c.n_head:
            command.usage_error(f"--n_embd {c.n_embd} does not divide evenly into --n_head {c.n_head} heads")
        if c.shard and c.optimizer == "muon":
            command.usage_error("--shard parts the rows of a matrix, --optimizer muon needs all: give one")
        if c.initial == "igpt" and c.tied:
            command.usage_error("--initial igpt has a head of zeros, which needs --tied false")
        c.check_rates()
        return c

    def hparams(self, n_vocab):
        """Return the hyper-parameters of the model, for a vocabulary of n_vocab tokens."""
        names = [name for name in NEW if name not in ("tokenizer", "n_vocab", "initial")]
        return dict(n_vocab=n_vocab) | {name: getattr(self, name) for name in names}

    def fixed(self):
        """Return what must stay the same when a training resumes, under the names that a state has."""
        three = dict(zip(("dropout_embd", "dropout_attn", "dropout_resid"), self.dropouts, strict=True))
        free = names_of(Settings, FREE, CALL) | {"starts"}  # which follow from the text and --windows
        kept = {name: value for name, value in vars(self).items() if name not in free}
        return kept | three | dict(dropout=self.dropouts, min_lr=self.lowest_lr)


NEW = {name: flag.usual for name, flag in parameters(Settings).items() if flag.note(Usual)}  # without --init
