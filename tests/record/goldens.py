"""Record what Hugging Face makes of the bundled model, in the form of what is published of OpenAI's.

    pip install -e ".[reference]"
    python tests/record/goldens.py

It imports nothing of picogpt; the ids are tiktoken's. tests/references/tales then has the same files as
tests/references/published, for tools/verify and its tests. To be run again when the model has changed.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import bpe
import numpy as np
import pytorch

TESTS = Path(__file__).parents[1]
MODEL = TESTS.parent / "models" / "tales"
RECORDED = TESTS / "references" / "tales"
PROMPTS = [
    "Once upon a time",
    "One day, a little girl named Lily",
    "The old king",
    "Tom had a big red ball. He liked to play with it so much that he",
    '"Who is there?" asked the cat',
    "In the park",
    "Max",
    "",
    "The fox said to the cat:",
    "Far away",
    "And the bird",
    "It was cold, and there was snow on the ground. A little girl went out to",
    "Naïve 1603 ...",
]
N_NEW = 24
TEXT = (
    "The king had three daughters, and the youngest was so beautiful that the sun wondered when it saw her."
)
B, T = 4, 64
TRAININGS = {
    "llmc_test_gpt2_c": dict(adamw=dict(lr=1e-4, b1=0.9, b2=0.999, eps=1e-8, wd=0.01), clip=None),
    "llmc_test_gpt2_cu": dict(adamw=dict(lr=1e-4, b1=0.9, b2=0.95, eps=1e-8, wd=0.0), clip=1.0),
}
SAID = dict(model="tales", by="Hugging Face, recorded", source="GPT2LMHeadModel in float32, the same weights")


def open_model():
    """Return Hugging Face's model with new copies of the weights, and tiktoken's encoding."""
    from safetensors.torch import load_file

    hparams = json.loads((MODEL / "hparams.json").read_text())
    names = dict(n_vocab="vocab_size", n_ctx="n_positions")
    config = {names.get(key, key): value for key, value in hparams.items()}
    stored = load_file(MODEL / "model.safetensors")  # in bfloat16, which float32 has exactly
    model = pytorch.hugging_face({path: w.float().numpy() for path, w in stored.items()}, **config)
    return model, bpe.tiktoken_encoding(bpe.read_merges(MODEL))


def logits_of(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def log_prob(model, ids, n):
    """Return the log-probability of each of the last `n` ids, all others before it being given."""
    log_probs = logits_of(model, ids[:-1]).log_softmax(-1)
    return [log_probs[i - 1, ids[i]].item() for i in range(len(ids) - n, len(ids))]


def greedy(model, prompt, n_new):
    """Return the likeliest ids, one after the other, and by how much the closest choice was decided."""
    ids, closest = list(prompt), np.inf
    for _ in range(n_new):
        values, best = (two.tolist() for two in logits_of(model, ids)[-1].topk(2))
        closest = min(closest, values[0] - values[1])
        ids.append(best[0])
    return ids[len(prompt) :], closest


def texts(model, encoding):
    """Return the entries of golden_greedy.json."""
    entries = []
    for n, prompt in enumerate(PROMPTS):
        prompt_ids = encoding.encode_ordinary(prompt) or [encoding.eot_token]
        ids, closest = greedy(model, prompt_ids, N_NEW)
        about = dict(id=f"tales-{n + 1}", mode="greedy", **SAID, note=f"closest choice: {closest:.1e}")
        asked = dict(prompt=prompt, prompt_ids=prompt_ids, prompt_ids_verbatim=True, n_new=N_NEW)
        answer = dict(text=encoding.decode(ids), ids=ids, ids_verbatim=True, complete=True)
        entries.append(about | asked | answer | dict(confidence="high" if closest > 0.01 else "low"))
    return entries


def ten_losses(batch, adamw, clip):
    """Return the losses of ten steps of PyTorch's AdamW, which decays every weight."""
    import torch

    model, _ = open_model()
    ids = np.array(batch)
    x, y = ids[:-1].reshape(B, T), ids[1:].reshape(B, T)
    c = adamw
    settings = dict(lr=c["lr"], betas=(c["b1"], c["b2"]), eps=c["eps"], weight_decay=c["wd"])
    optimizer, losses = torch.optim.AdamW(model.parameters(), **settings), []
    for _ in range(10):
        optimizer.zero_grad()
        loss = pytorch.loss_of(model, x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip or float("inf"))
        optimizer.step()
        losses.append(loss.item())
    return losses


def in_windows(model, ids, prefix, length):
    """Return each id's log-probability, read in windows of `length` tokens."""
    whole, found = prefix + ids, []
    for j in range(len(ids)):
        end = min((j // length + 1) * length, len(ids))
        begin = max(0, end - length)
        found.append(log_prob(model, whole[begin : j + 2], 1)[0])
    return found


def loss_without_head(model, ids, layer, head):
    """Return the loss of a text while a head's values are 0."""
    n_embd = model.config.n_embd
    size = n_embd // model.config.n_head
    begin = 2 * n_embd + head * size

    def zero(module, took, made):
        made[..., begin : begin + size] = 0
        return made

    hook = model.transformer.h[layer].attn.c_attn.register_forward_hook(zero)
    loss = -np.mean(log_prob(model, ids, len(ids) - 1))
    hook.remove()
    return loss


def numbers(model, encoding, batch):
    """Return the content of golden_numbers.json."""
    import torch

    ids, prefix, start = (
        encoding.encode_ordinary(TEXT),
        [encoding.eot_token],
        encoding.encode_ordinary("The old king"),
    )
    alone, five = (in_windows(model, ids, prefix, length) for length in (model.config.n_positions, 5))
    cases = [
        dict(
            context=a,
            continuation=b,
            context_ids=a_ids,
            continuation_ids=b_ids,
            target=sum(log_prob(model, a_ids + b_ids, len(b_ids))),
        )
        for a, b in ((TEXT[:10], TEXT[10:]), (TEXT[:60], TEXT[60:]), ("Max", " and the cat"))
        for a_ids, b_ids in [(encoding.encode_ordinary(a), encoding.encode_ordinary(b))]
    ]
    likeliest = encoding.decode(greedy(model, start, 3)[0])
    with torch.no_grad():
        hidden = model.transformer(torch.tensor([ids[:5]])).last_hidden_state[0, 0, :5].tolist()
    kings = encoding.encode_ordinary(" said")[0]
    found = dict(
        lmeval_rolling=dict(
            text=TEXT, ids=ids, prefix=prefix, token_logprobs=alone, sum=sum(alone),
            max_length5=five, sum_max_length5=sum(five), rel=1e-3,
        ),
        lmeval_loglikelihood=dict(rel=1e-3, cases=cases),
        lmeval_is_greedy=dict(
            context="The old king", is_greedy={likeliest: True, " dog": False},
            order='logp(" was") > logp(" cat")',
        ),
        keras_backbone=dict(ids=ids[:5], final_hidden_first5=hidden, tol=1e-3),
        transformerlens=[dict(
            text=TEXT, bos=True, loss=-np.mean(log_prob(model, prefix + ids, len(ids))),
            ablate_L0H3_v0=loss_without_head(model, prefix + ids, 0, 3), tol=1e-3,
        )],
        rust_bert=dict(logit=[dict(
            prompt="The old king", id=kings, logit=logits_of(model, start)[-1, kings].item(), tol=1e-4,
        )]),
    )  # fmt: skip
    for key, settings in TRAININGS.items():
        found[key] = dict(B=B, T=T, **settings, tol=1e-3, losses=ten_losses(batch, **settings))
    for golden in found.values():
        golden = golden.get("logit", golden) if isinstance(golden, dict) else golden
        for one in golden if isinstance(golden, list) else [golden]:
            one.update(SAID)
    return found


def files():
    """Return the content of golden_files.json: sizes and sha256 of the model's files."""
    contents = {
        name: (MODEL / name).read_bytes() for name in ("hparams.json", "model.safetensors", "vocab.bpe")
    }
    return dict(tales={name: [len(c), hashlib.sha256(c).hexdigest()] for name, c in contents.items()})


def write(name, content):
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[-\d\s,.e]*\]", lambda list_: " ".join(list_[0].split()), text)  # on one line
    (RECORDED / f"{name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def main():
    import tiktoken
    import torch
    import transformers

    RECORDED.mkdir(exist_ok=True)
    model, encoding = open_model()
    text = (TESTS / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    batch = [encoding.eot_token, *encoding.encode_ordinary(text[:5000])][: B * T + 1]
    write("golden_files", files())
    write("golden_greedy", texts(model, encoding))
    write("golden_numbers", numbers(model, encoding, batch))
    write("llmc_batch", batch)
    versions = {m.__name__: m.__version__ for m in (np, tiktoken, torch, transformers)}
    write("versions", {"python": sys.version.split()[0]} | versions)


if __name__ == "__main__":
    main()
