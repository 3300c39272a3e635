"""A GPT in PyTorch, with the names and layouts of minGPT's and nanoGPT's and all that these may choose."""


def gpt(n_vocab, n_ctx, n_embd, n_head, n_layer, bias=True, tied=True, gelu="tanh", masks=False):
    """Return a module with random parameters, none of them 0 or 1; called with ids, it returns logits."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = norm(), norm()
            self.attn = nn.ModuleDict(dict(c_attn=linear(1, 3), c_proj=linear(1, 1)))
            self.mlp = nn.ModuleDict(dict(c_fc=linear(1, 4), c_proj=linear(4, 1)))
            if masks:
                self.attn.register_buffer("bias", torch.ones(n_ctx, n_ctx).tril()[None, None])

        def forward(self, x):
            qkv = self.attn["c_attn"](self.ln_1(x)).split(n_embd, dim=2)
            q, k, v = (part.unflatten(2, (n_head, -1)).transpose(1, 2) for part in qkv)
            heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.attn["c_proj"](heads.transpose(1, 2).flatten(2))
            hidden = self.mlp["c_fc"](self.ln_2(x))
            hidden = functional.gelu(hidden, approximate="tanh" if gelu == "tanh" else "none")
            return x + self.mlp["c_proj"](hidden)

    def linear(n_in, n_out):
        return nn.Linear(n_in * n_embd, n_out * n_embd, bias=bias)

    def norm():
        return nn.LayerNorm(n_embd, bias=bias)

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            wte, wpe = nn.Embedding(n_vocab, n_embd), nn.Embedding(n_ctx, n_embd)
            blocks = nn.ModuleList(Block() for _ in range(n_layer))
            self.transformer = nn.ModuleDict(dict(wte=wte, wpe=wpe, h=blocks, ln_f=norm()))
            self.lm_head = nn.Linear(n_embd, n_vocab, bias=False)
            if tied:
                self.lm_head.weight = wte.weight

        def forward(self, ids):
            parts = self.transformer
            x = parts["wte"](ids) + parts["wpe"](torch.arange(ids.shape[1]))
            for block in parts["h"]:
                x = block(x)
            return self.lm_head(parts["ln_f"](x))

    torch.manual_seed(0)
    model = Gpt().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model
