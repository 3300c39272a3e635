"""GPT-2 on one page, in NumPy alone: the model, its loss, its gradients by hand, its training, its text.

Each operation returns y, which it makes of x, and a function `back`. By the chain rule, back turns dy, the
derivative of the loss by y, into dx, that by x, and the gradients of the operation's arrays, by their names.
B texts of T tokens are N = B T rows of C numbers (n_embd), D = C / n_head for each head; V tokens are known.
`params` is the tree of OpenAI's checkpoints: this runs them, too. To train: python -m picogpt.pico TEXT.txt
"""

import sys
from pathlib import Path

import numpy as np


def linear(x, w, b):
    """y = x w + b, [N, m] -> [N, n].   Back: dx = dy w^T, dw = x^T dy, db = the sum of dy's rows."""
    return x @ w + b, lambda dy: (dy @ w.T, dict(w=x.T @ dy, b=dy.sum(axis=0)))

def layer_norm(x, g, b):
    """y = g n + b, [N, C], where n is x with each row shifted and stretched to mean 0 and variance 1."""
    std = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    n = (x - x.mean(axis=-1, keepdims=True)) / std
    def back(dy):  # dx = (dn - mean(dn) - n mean(n dn)) / std
        dn = g * dy
        dx = (dn - dn.mean(axis=-1, keepdims=True) - n * (n * dn).mean(axis=-1, keepdims=True)) / std
        return dx, dict(g=(n * dy).sum(axis=0), b=dy.sum(axis=0))
    return g * n + b, back

def gelu(x):
    """y = x / 2 (1 + t), t = tanh(c (x + a x^3)).   Back: dt/dx = (1 - t^2) c (1 + 3 a x^2)."""
    c, a = (2 / np.pi) ** 0.5, 0.044715
    t = np.tanh(c * (x + a * x * x * x))
    return x / 2 * (1 + t), lambda dy: dy / 2 * (1 + t + x * (1 - t * t) * c * (1 + 3 * a * x * x))

def softmax(x):
    """Turn the scores in each row into probabilities: e^x_i / sum_j e^x_j."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))  # the maximum cancels, and keeps e from overflowing
    return e / e.sum(axis=-1, keepdims=True)

def attention(qkv, n_head, T):
    """y = p v, p = softmax(q k^T / sqrt(D)), in each head: a token takes from itself and those before it."""
    D = qkv.shape[-1] // 3 // n_head
    q, k, v = qkv.reshape(-1, T, 3, n_head, D).transpose(2, 0, 3, 1, 4)  # each [B, H, T, D]
    p = softmax(np.where(np.tri(T, dtype=bool), q @ k.mT / D**0.5, -1e10))  # [B, H, T, T]
    def back(dy):
        dy = dy.reshape(-1, T, n_head, D).swapaxes(1, 2)  # [B, H, T, D]
        dp, dv = dy @ v.mT, p.mT @ dy
        dscores = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) / D**0.5  # [B, H, T, T]
        dq, dk = dscores @ k, dscores.mT @ q
        return np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(qkv.shape)
    return (p @ v).swapaxes(1, 2).reshape(len(qkv), -1), back

def transformer_block(x, ln_1, attn, ln_2, mlp, n_head, T):
    """Add to x what attention makes of it, and to the sum what the feed-forward layer (mlp) makes of that."""
    y, back_ln_1 = layer_norm(x, **ln_1)
    y, back_c_attn = linear(y, **attn["c_attn"])  # [N, 3C]
    y, back_attention = attention(y, n_head, T)  # [N, C]
    y, back_attn_proj = linear(y, **attn["c_proj"])
    x = x + y
    y, back_ln_2 = layer_norm(x, **ln_2)
    y, back_c_fc = linear(y, **mlp["c_fc"])  # [N, 4C]
    y, back_gelu = gelu(y)
    y, back_mlp_proj = linear(y, **mlp["c_proj"])  # [N, C]
    def back(dx):
        dy, dmlp_proj = back_mlp_proj(dx)
        dy, dc_fc = back_c_fc(back_gelu(dy))
        dy, dln_2 = back_ln_2(dy)
        dx = dx + dy  # where the forward added, the way back forks: through the layers, and past them
        dy, dattn_proj = back_attn_proj(dx)
        dy, dc_attn = back_c_attn(back_attention(dy))
        dy, dln_1 = back_ln_1(dy)
        dattn, dmlp = dict(c_attn=dc_attn, c_proj=dattn_proj), dict(c_fc=dc_fc, c_proj=dmlp_proj)
        return dx + dy, dict(ln_1=dln_1, attn=dattn, ln_2=dln_2, mlp=dmlp)
    return x + y, back

def gpt2(ids, params, n_head):
    """After each token of ids [B, T], score each token of the vocabulary as the next: logits [N, V]."""
    wte, wpe, (B, T), backs = params["wte"], params["wpe"], ids.shape, []
    x = (wte[ids] + wpe[:T]).reshape(B * T, -1)  # [N, C]: which token, and where
    for block in params["blocks"]:
        x, back_block = transformer_block(x, **block, n_head=n_head, T=T)
        backs.append(back_block)
    y, back_ln_f = layer_norm(x, **params["ln_f"])
    def back(dlogits):
        dx, dln_f = back_ln_f(dlogits @ wte)
        dblocks = []
        for back_block in reversed(backs):
            dx, dblock = back_block(dx)
            dblocks.insert(0, dblock)
        dwte, dwpe = dlogits.T @ y, np.zeros_like(wpe)
        np.add.at(dwte, ids.ravel(), dx)  # wte has served twice, for the logits and for x
        dwpe[:T] = dx.reshape(B, T, -1).sum(axis=0)
        return dict(wte=dwte, wpe=dwpe, blocks=dblocks, ln_f=dln_f)
    return y @ wte.T, back

def loss_and_grads(params, ids, targets, n_head):
    """Return the mean of -ln p(target), and its derivatives by all the numbers in params, a tree like it."""
    logits, back = gpt2(ids, params, n_head)
    p, chosen = softmax(logits), (np.arange(ids.size), targets.ravel())
    loss = -np.log(p[chosen]).mean()
    p[chosen] -= 1  # dlogits = (p - 1 at the target) / N
    return loss, back(p / ids.size)

def leaves(tree):
    """List the arrays of a tree of dicts and lists, in the order of their names."""
    branches = tree if isinstance(tree, list) else [tree[name] for name in sorted(tree)]
    return [leaf for b in branches for leaf in ([b] if isinstance(b, np.ndarray) else leaves(b))]

def adamw_step(params, grads, moments, step, lr):
    """w = w - lr (m / sqrt(v) + 0.1 w), with running means m of dw and v of dw^2; 0.1 w for matrices only."""
    for w, dw, (m, v) in zip(leaves(params), leaves(grads), moments, strict=True):
        m += 0.1 * (dw - m)
        v += 0.05 * (dw * dw - v)
        w *= 1 - lr * 0.1 * (w.ndim > 1)
        w -= lr * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.95**step)) + 1e-8)  # as m and v began at 0

def generate(ids, params, n_head, n_new, choose=np.argmax):
    """Yield n_new more ids: each is chosen by the logits [V] after those before it. argmax: the likeliest."""
    for _ in range(n_new):
        logits, _ = gpt2(np.array([ids[-len(params["wpe"]) :]]), params, n_head)
        ids = [*ids, choose(logits[-1])]
        yield ids[-1]

def main(path="tests/data/tinyshakespeare.txt", steps=2000, B=32, T=32, C=64, n_head=4, n_layer=2, lr=8e-3):
    """Train a model of the characters of a text, saying how the loss falls, and write 500 more of them."""
    text = Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else ""
    if len(text) <= T:
        sys.exit(f"picogpt: {path} is no text of more than {T} characters: python -m picogpt.pico TEXT.txt")
    chars, text = np.unique(list(text), return_inverse=True)  # the vocabulary, and each character's id in it
    rng = np.random.default_rng(0)
    def new(name, *shape):
        w = 0.02 * rng.standard_normal(shape, np.float32) if name == "w" else np.ones(shape, np.float32)
        return {name: w, "b": np.zeros(shape[-1], np.float32)}
    params = dict(wte=new("w", len(chars), C)["w"], wpe=new("w", T, C)["w"], blocks=[], ln_f=new("g", C))
    for _ in range(n_layer):
        attn = dict(c_attn=new("w", C, 3 * C), c_proj=new("w", C, C))
        mlp = dict(c_fc=new("w", C, 4 * C), c_proj=new("w", 4 * C, C))
        params["blocks"].append(dict(ln_1=new("g", C), attn=attn, ln_2=new("g", C), mlp=mlp))
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in leaves(params)]
    for step in range(1, steps + 1):
        windows = text[rng.integers(len(text) - T, size=(B, 1)) + np.arange(T + 1)]  # [B, T + 1]
        loss, grads = loss_and_grads(params, windows[:, :-1], windows[:, 1:], n_head)
        adamw_step(params, grads, moments, step, lr * min(step / 100, 1 - step / steps))
        if step % 100 == 0:
            print(f"step {step} of {steps}: loss {loss:.2f}", flush=True)
    draw = generate([0], params, n_head, 500, lambda logits: rng.choice(len(chars), p=softmax(logits / 0.8)))
    print("".join(chars[i] for i in draw))

if __name__ == "__main__":
    main(*sys.argv[1:2])
