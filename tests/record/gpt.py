"""A GPT in PyTorch, with the names and layouts of minGPT's and nanoGPT's and all that these may choose."""


def gpt(
    n_vocab, n_ctx, n_embd, n_head, n_layer, bias=True, tied=True, gelu="tanh", masks=False,
    activation="gelu", n_inner=0, scale_by_width=True, scale_by_layer=False,
    time_weighting="none", time_mixing=False, time_mixed=0, positions="learned", norm="pre", band=0,
    rms=False, rezero=False, causal=True,
):  # fmt: skip
    """Return a module with random parameters, none of them 0 or 1; called with ids, it returns logits."""
    import torch
    from torch import nn
    from torch.nn import functional

    def activate(x):
        if activation != "gelu":
            return dict(relu=functional.relu, silu=functional.silu, tanh=torch.tanh)[activation](x)
        if gelu == "quick":
            return x * torch.sigmoid(1.702 * x)
        return functional.gelu(x, approximate="tanh" if gelu == "tanh" else "none")

    def circulant(distance, key):
        """minGPT-tuned's: beside each other, n copies of a row and n zeros make a matrix of its shifts."""
        shifts = functional.pad(distance, [0, n_ctx]).tile([n_ctx])[:, :-n_ctx]
        return shifts.reshape(n_head, n_ctx, 2 * n_ctx - 1)[:, :, n_ctx - 1 :] * key[:, None]

    def turn(x):
        """RoFormer's rotary positions as complex numbers, of channels i (real) and i + D/2 (imaginary)."""
        half = x.shape[-1] // 2
        angles = torch.arange(x.shape[-2])[:, None] / 10000 ** (torch.arange(half).double() / half)
        z = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones(()).double(), angles)
        return torch.cat([z.real, z.imag], dim=-1)

    def biases(T):
        """ALiBi's, by the slopes' table of Press et al. 2022, where the next power of two fills up."""
        power = 1 << (n_head.bit_length() - 1)
        table = [2 ** (-8 * i / power) for i in range(1, power + 1)]
        table += [2 ** (-4 * i / power) for i in range(1, 2 * power + 1, 2)]
        keys = torch.arange(T)
        return torch.tensor(table[:n_head]).double()[:, None, None] * (keys - keys[:, None])

    class Block(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.band, self.last = band if layer % 2 else 0, layer == n_layer - 1
            self.scale = (n_embd // n_head) ** -0.5 if scale_by_width else 1
            self.scale /= layer + 1 if scale_by_layer else 1
            self.ln_1, self.ln_2 = layer_norm(), layer_norm()
            if rezero:
                self.rezero = nn.Parameter(torch.empty(1))
            if norm == "post" and self.last:  # ln_f, the last norm of both
                del self.ln_2
            self.attn = nn.ModuleDict(dict(c_attn=linear(n_embd, 3 * n_embd), c_proj=linear(n_embd, n_embd)))
            inner = n_inner or 4 * n_embd
            self.mlp = nn.ModuleDict(dict(c_fc=linear(n_embd, inner), c_proj=linear(inner, n_embd)))
            shapes = dict(none={}, full=dict(full=3), circulant=dict(distance=2, key=2))[time_weighting]
            if shapes:
                self.attn["time_weighting"] = nn.ParameterDict(
                    {
                        name: nn.Parameter(torch.empty([n_head, n_ctx, n_ctx][:axes]))
                        for name, axes in shapes.items()
                    }
                )
            if masks:
                self.attn.register_buffer("bias", torch.ones(n_ctx, n_ctx).tril()[None, None])

        def forward(self, x):
            post, T = norm == "post", x.shape[1]
            y = x if post else self.ln_1(x)
            if time_mixing or time_mixed:
                half = time_mixed or n_embd // 2
                y = torch.cat([nn.ZeroPad2d((0, 0, 1, -1))(y[:, :, :half]), y[:, :, half:]], dim=2)
            qkv = self.attn["c_attn"](y).split(n_embd, dim=2)
            q, k, v = (part.unflatten(2, (n_head, -1)).transpose(1, 2) for part in qkv)
            if positions == "rotary":
                q, k = turn(q), turn(k)
            seen = torch.ones(T, T, dtype=torch.bool).tril()
            seen = seen.triu(1 - self.band) if self.band else seen
            scores = q @ k.transpose(2, 3) * self.scale + (biases(T) if positions == "alibi" else 0)
            scores = scores.masked_fill(~seen, -torch.inf) if causal else scores
            probs = scores.softmax(dim=3)
            if time_weighting != "none":
                learned = self.attn["time_weighting"]
                table = learned["full"] if time_weighting == "full" else circulant(**learned)
                probs = probs * table[:, :T, :T]
            heads = probs @ v
            factor = self.rezero if rezero else 1
            x = x + factor * self.attn["c_proj"](heads.transpose(1, 2).flatten(2))
            x = self.ln_1(x) if post else x
            hidden = self.mlp["c_fc"](x if post else self.ln_2(x))
            x = x + factor * self.mlp["c_proj"](activate(hidden))
            return self.ln_2(x) if post and not self.last else x

    def linear(n_in, n_out):
        return nn.Linear(n_in, n_out, bias=bias)

    def layer_norm():
        return nn.RMSNorm(n_embd, eps=1e-5) if rms else nn.LayerNorm(n_embd, bias=bias)

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            wte, wpe = nn.Embedding(n_vocab, n_embd), nn.Embedding(n_ctx, n_embd)
            blocks = nn.ModuleList(Block(layer) for layer in range(n_layer))
            self.transformer = nn.ModuleDict(dict(wte=wte, wpe=wpe, h=blocks, ln_f=layer_norm()))
            if positions != "learned":
                del self.transformer["wpe"]
            self.lm_head = nn.Linear(n_embd, n_vocab, bias=False)
            if tied:
                self.lm_head.weight = wte.weight

        def forward(self, ids):
            parts = self.transformer
            x = parts["wte"](ids)
            if positions == "learned":
                x = x + parts["wpe"](torch.arange(ids.shape[1]))
            for block in parts["h"]:
                x = block(x)
            return self.lm_head(parts["ln_f"](x))

    torch.manual_seed(0)
    model = Gpt().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model
