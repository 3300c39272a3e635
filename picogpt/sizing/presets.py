"""Shapes of published models by name, to train from the beginning: `picogpt.train --preset gpt-nano`.

They are the hyper-parameters that a model's paper or code states. What else sets it apart from GPT-2, its
data first of all, is not in them:

- gpt3: every second layer is locally banded, to a width that is not published: --band is left to you. Table
  2.1 of Brown et al. 2020 contradicts itself twice. XL has 24 heads of 128, more than fit into its 2048
  channels; 16 do. And 13B has 5140 channels for 40 heads of 128; its 12,850 million parameters (table D.1)
  are those of 5120.
- gopher-44m has 32,000 tokens and 2048 places, RMS norms and relative positions; the latter are GPT-2's here.
- gpt-mini, gpt-micro and gpt-nano are minGPT's; vocabulary and context are those of the text and the task.
- igpt sees 512 colours and a start, in 32 x 32 pixels; for more pixels, as of L and XL, give --n_ctx. XL's
  heads are not published; 16 are L's.
"""

from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES

GPT3 = dict(n_vocab=50257, n_ctx=2048)
IGPT = dict(n_vocab=513, n_ctx=1024, tied=False, gelu="quick", rms=True, bias=False)
PRESETS = {
    "openai-gpt": dict(n_vocab=40478, n_ctx=512, n_embd=768, n_head=12, n_layer=12, norm="post"),
    **{name: SIZES[size] for name, size in HUGGING_FACE_NAMES.items()},
    "gpt3-125M": dict(**GPT3, n_embd=768, n_head=12, n_layer=12),
    "gpt3-350M": dict(**GPT3, n_embd=1024, n_head=16, n_layer=24),
    "gpt3-760M": dict(**GPT3, n_embd=1536, n_head=16, n_layer=24),
    "gpt3-1.3B": dict(**GPT3, n_embd=2048, n_head=16, n_layer=24),
    "gpt3-2.7B": dict(**GPT3, n_embd=2560, n_head=32, n_layer=32),
    "gpt3-6.7B": dict(**GPT3, n_embd=4096, n_head=32, n_layer=32),
    "gpt3-13B": dict(**GPT3, n_embd=5120, n_head=40, n_layer=40),
    "gpt3-175B": dict(**GPT3, n_embd=12288, n_head=96, n_layer=96),
    "gopher-44m": dict(n_vocab=32000, n_ctx=2048, n_embd=512, n_head=16, n_layer=8, rms=True),
    "gpt-mini": dict(n_embd=192, n_head=6, n_layer=6),
    "gpt-micro": dict(n_embd=128, n_head=4, n_layer=4),
    "gpt-nano": dict(n_embd=48, n_head=3, n_layer=3),
    "igpt-s": dict(**IGPT, n_embd=512, n_head=8, n_layer=24),
    "igpt-m": dict(**IGPT, n_embd=1024, n_head=8, n_layer=36),
    "igpt-l": dict(**IGPT, n_embd=1536, n_head=16, n_layer=48),
    "igpt-xl": dict(**IGPT, n_embd=3072, n_head=16, n_layer=60),
}


def preset(name):
    """Return the hyper-parameters that a preset has; ValueError for an unknown name."""
    if name not in PRESETS:
        raise ValueError(f"{name!r} is not a preset; there are {', '.join(PRESETS)}")
    return PRESETS[name]
