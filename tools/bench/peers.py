"""The engines beside which bench.py measures picogpt, each in a process of its own.

usage: python tools/bench/peers.py ENGINE

bench.py starts this and writes pickled (method, arguments) to its stdin; on stdout comes what the method
returned. bench_ours.py says what the methods are.
"""

import functools
import os
import pickle
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
import numpy as np

from bench import peer_models
from bench.ours import (
    BETAS,
    CLIP,
    LR,
    WEIGHT_DECAY,
    Engine,
    Fast,
    PicoGPT,
    calls,
    threads,
    timed,
    training_ids,
)
from picogpt.checkpoints import weights
from picogpt.params.tree import nest, walk
from picogpt.text import bpe, data
from picogpt.train import parallel


class Transformers(Engine):
    """Hugging Face's GPT2LMHeadModel with PyTorch's fused attention, as its documentation loads it."""

    needs = ("transformers", "torch")

    def convert(self, folder):
        """Write a folder for from_pretrained."""
        peer_models.hugging_face(folder)

    def load(self, folder):
        """Load by from_pretrained."""
        import torch
        from transformers import GPT2LMHeadModel

        torch.set_num_threads(threads())
        torch.set_grad_enabled(False)
        folder = peer_models.hugging_face(folder)
        self.model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa").eval()

    def decode(self, prompts, n_new):
        """Call `generate`; a streamer notes when the first token comes."""
        import torch

        ids, clock = torch.tensor(prompts), Clock()
        text = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=n_new,
            do_sample=False, pad_token_id=0, streamer=clock,
        )  # fmt: skip
        return clock.times[-1] - clock.times[1], text[:, ids.shape[1] :].tolist()

    def logits(self, prompts):
        """Read the prompts with a cache, as `generate` begins."""
        import torch

        ids = torch.tensor(prompts)
        return timed(lambda: self.model(ids, logits_to_keep=1, use_cache=True).logits[:, -1].numpy())

    def command(self, folder, prompt):
        """Return the words of a command line that continues the prompt by one token."""
        return [sys.executable, "-c", CONTINUE, str(peer_models.hugging_face(folder)), prompt]


CONTINUE = """
import sys
from transformers import AutoTokenizer, GPT2LMHeadModel
folder, prompt = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = GPT2LMHeadModel.from_pretrained(folder)
took = tokenizer(prompt, return_tensors="pt")
made = model.generate(**took, max_new_tokens=1, do_sample=False, pad_token_id=50256)
print(tokenizer.decode(made[0, took["input_ids"].shape[1] :]))
"""


class Clock:
    """A streamer that only notes the time: of the prompt, then of each token."""

    def __init__(self):
        self.times = []

    def put(self, ids):
        """Note that `ids` have come."""
        self.times.append(time.perf_counter())

    def end(self):
        """Ignore the end."""


class Torch(Engine):
    """PyTorch running the model of nanoGPT: fused attention, tanh gelu, tied head, no cache."""

    needs = ("torch",)

    def __init__(self, fused=False, compiled=False):
        self.fused, self.compiled = fused, compiled

    def load(self, folder):
        """Copy picogpt's arrays; the matrices become [out, in], as in nn.Linear."""
        import torch

        torch.set_num_threads(threads())
        params, self.hparams = peer_models.read(folder)
        own = {path: w.T if path.endswith(".w") else w for path, w in params.items()}
        self.params = nest({path: torch.tensor(np.ascontiguousarray(w)) for path, w in own.items()})
        self.optimizer = None

    def forward(self, ids, targets=None):
        """Return the logits after the last token of each row; with targets, their mean loss."""
        import torch.nn.functional as F

        def linear(x, w, b=None):
            return F.linear(x, w, b)

        def norm(x, g, b):
            return F.layer_norm(x, g.shape, g, b)

        def heads(x):
            return x.unflatten(-1, (self.hparams["n_head"], -1)).transpose(1, 2)  # [B, H, T, D]

        wte, wpe, blocks, ln_f = self.params.values()
        x = F.embedding(ids, wte) + wpe[: ids.shape[1]]
        for block in blocks:
            q, k, v = linear(norm(x, **block["ln_1"]), **block["attn"]["c_attn"]).chunk(3, dim=-1)
            y = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), is_causal=True)
            x = x + linear(y.transpose(1, 2).flatten(-2), **block["attn"]["c_proj"])
            y = F.gelu(linear(norm(x, **block["ln_2"]), **block["mlp"]["c_fc"]), approximate="tanh")
            x = x + linear(y, **block["mlp"]["c_proj"])
        x = norm(x, **ln_f)
        if targets is None:
            return linear(x[:, -1], wte)
        return F.cross_entropy(linear(x, wte).flatten(0, 1), targets.flatten())

    def logits(self, prompts):
        """Read the prompts."""
        import torch

        ids = torch.tensor(prompts)
        with torch.inference_mode():
            return timed(lambda: self.forward(ids).numpy())

    def train(self, batch_size, n_ctx, n_steps):
        """Make steps as nanoGPT does."""
        import torch

        ids = training_ids(self.hparams["n_vocab"])
        if self.optimizer is None:
            self.rng, self.leaves = np.random.default_rng(2), [w for _, w in walk(self.params)]
            decays = {
                decay: [w.requires_grad_() for w in self.leaves if (w.ndim > 1) == (decay > 0)]
                for decay in (WEIGHT_DECAY, 0.0)
            }
            groups = [dict(params=params, weight_decay=decay) for decay, params in decays.items()]
            self.optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, fused=self.fused or None)
            self.loss = torch.compile(self.forward) if self.compiled else self.forward

        def step():
            x, y = map(torch.from_numpy, data.random_batch(ids, batch_size, n_ctx, self.rng))
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(x, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.leaves, CLIP)
            self.optimizer.step()
            return loss.item()

        return timed(lambda: [step() for _ in range(n_steps)])


class OnnxRuntime(Engine):
    """onnxruntime running GPT-2 with a cache, out of the operators that it fuses the model into."""

    needs = ("onnxruntime", "onnx")

    def convert(self, folder):
        """Write the graph."""
        peer_models.onnx(folder)

    def load(self, folder):
        """Make a session."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            peer_models.onnx(folder), options, providers=["CPUExecutionProvider"]
        )
        self.hparams = weights.read_hparams(folder)

    def begin(self, n_rows):
        """Bind empty buffers for the keys and values of all positions, each as input and as output."""
        import onnxruntime

        self.binding, self.length = self.session.io_binding(), 0
        _, n_ctx, n_embd, n_head, n_layer = self.hparams.values()
        shape = (n_rows, n_head, n_ctx, n_embd // n_head)
        self.buffers = []
        for layer in range(n_layer):
            for kv in "kv":
                buffer = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
                self.binding.bind_ortvalue_input(f"{kv}_past_{layer}", buffer)
                self.binding.bind_ortvalue_output(f"{kv}_present_{layer}", buffer)
                self.buffers.append(buffer)
        self.binding.bind_output("logits")

    def forward(self, ids):
        """Read the next ids [B, T]; return the logits after the last ones, [B, V]."""
        B, T = np.shape(ids)
        positions = np.broadcast_to(np.arange(self.length, self.length + T), (B, T))
        self.length += T
        feed = dict(ids=np.array(ids, np.int64), positions=np.ascontiguousarray(positions))
        feed |= dict(last_seen=np.full(B, self.length - 1, np.int32), total=np.array([self.length], np.int32))
        for name, array in feed.items():
            self.binding.bind_cpu_input(name, array)
        self.session.run_with_iobinding(self.binding)
        *_, logits = self.binding.get_outputs()
        return logits.numpy()[:, -1]

    def decode(self, prompts, n_new):
        """Read the prompts, then feed back the likeliest token."""
        self.begin(len(prompts))
        return greedy(self.forward, prompts, n_new)

    def logits(self, prompts):
        """Read the prompts."""
        self.begin(len(prompts))
        return timed(self.forward, prompts)


class LlamaCpp(Engine):
    """llama.cpp, through llama-cpp-python, one sequence at a time; matrices in f32, f16 or q8_0."""

    needs = ("llama-cpp-python", "gguf")
    logits_off = 0.01  # it looks gelu up in a table of 16-bit floats (ggml's GGML_GELU_FP16)

    def __init__(self, dtype="f32"):
        self.dtype = dtype

    def convert(self, folder):
        """Write model.gguf."""
        peer_models.gguf(folder, self.dtype)

    def load(self, folder):
        """Read the file into memory: mapped, it could have no huge pages."""
        import llama_cpp

        self.hparams = weights.read_hparams(folder)
        self.model = llama_cpp.Llama(
            str(peer_models.gguf(folder, self.dtype)),
            n_ctx=self.hparams["n_ctx"], n_batch=self.hparams["n_ctx"],
            n_threads=threads(), n_threads_batch=threads(), use_mmap=False, verbose=False,
            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32,
        )  # fmt: skip

    def forward(self, ids):
        """Read the next ids [1, T]; return the logits after the last, [1, V]."""
        [row] = ids
        self.model.eval(row)
        logits = self.model._ctx.get_logits()
        return np.ctypeslib.as_array(logits, (1, self.hparams["n_vocab"]))

    def decode(self, prompts, n_new):
        """Read the prompt, then feed back the likeliest token."""
        self.model.reset()
        return greedy(self.forward, prompts, n_new)

    def logits(self, prompts):
        """Read the prompt."""
        self.model.reset()
        return timed(lambda: self.forward(prompts).copy())


def greedy(forward, prompts, n_new):
    """Choose the likeliest token and feed it back, time and again; the first is not timed."""
    new = [forward(prompts).argmax(axis=-1)]

    def rest():
        while len(new) < n_new:
            new.append(forward(new[-1][:, None].tolist()).argmax(axis=-1))

    seconds, _ = timed(rest)
    return seconds, np.transpose(new).tolist()


class Tiktoken(Engine):
    """OpenAI's tokenizer, in Rust."""

    needs = ("tiktoken",)

    def encode(self, text):
        """Encode with GPT-2's merges, from our file instead of a download."""
        import tiktoken
        from tiktoken_ext.openai_public import r50k_pat_str

        encoder = bpe.load_encoder(weights.shipped("gpt2-bpe"))
        ranks = {encoder.token_bytes(i): i for i in range(encoder.eot)}
        settings = dict(pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={bpe.EOT: encoder.eot})
        return timed(tiktoken.Encoding("gpt2", **settings).encode_ordinary, text)


class Tokenizers(Engine):
    """Hugging Face's tokenizer, in Rust."""

    needs = ("tokenizers",)

    def encode(self, text):
        """Encode with the same merges."""
        from tokenizers import ByteLevelBPETokenizer

        encoder = bpe.load_encoder(weights.shipped("gpt2-bpe"))
        merges = [(encoder.decoder[a], encoder.decoder[b]) for a, b in encoder.merges]
        tokenizer = ByteLevelBPETokenizer(vocab=encoder.encoder, merges=merges)
        return timed(lambda: tokenizer.encode(text).ids)


# What "+hp", "+keep" and "x2" mean, __main__.py says.
ENGINES = {
    "picogpt": PicoGPT,
    "picogpt bfloat16": functools.partial(PicoGPT, dtype="bfloat16"),
    "picogpt int8": functools.partial(PicoGPT, dtype="int8"),
    "picogpt fast": Fast,
    "picogpt fast bfloat16": functools.partial(Fast, dtype="bfloat16"),
    "picogpt fast int8": functools.partial(Fast, dtype="int8"),
    "transformers": Transformers,
    "llama.cpp f32 +hp": LlamaCpp,
    "llama.cpp f16 +hp": functools.partial(LlamaCpp, dtype="f16"),
    "llama.cpp q8_0 +hp": functools.partial(LlamaCpp, dtype="q8_0"),
    "onnxruntime +hp": OnnxRuntime,
    "torch +hp": Torch,
    "picogpt x2": PicoGPT,
    "picogpt giving memory back": functools.partial(PicoGPT, keep=False),
    "torch eager": Torch,
    "torch fused +hp +keep": functools.partial(Torch, fused=True),
    "torch fused +hp": functools.partial(Torch, fused=True),
    "torch.compile fused +hp": functools.partial(Torch, fused=True, compiled=True),
    "tiktoken": Tiktoken,
    "tokenizers": Tokenizers,
}


def serve(name):
    """Answer calls from stdin on stdout until stdin ends. What libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    engine, comm = ENGINES[name](), parallel.world()
    for method, arguments in calls(comm):
        try:
            reply = True, getattr(engine, method)(*arguments)
        except Exception as error:
            reply = False, f"{type(error).__name__}: {error}"
        if comm.rank == 0:
            pickle.dump(reply, replies)
            replies.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
