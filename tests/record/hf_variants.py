"""Record the logits of GPT-2s with unusual configurations, in tests/references/hf_variants.npz.

    pip install -e ".[reference]"
    python tests/record/hf_variants.py

The weights are drawn anew each time, from the same seed; kept are the logits, and the gradient of a loss by
the first c_fc.
"""

import json
import sys
from pathlib import Path

import numpy as np

RECORD = Path(__file__).parents[1] / "references" / "hf_variants.npz"
IDS = [[3, 1, 4, 1, 5, 9, 2], [6, 16, 0, 7, 15, 10, 8]]
TARGETS = [[1, 4, 1, 5, 9, 2, 6], [16, 0, 7, 15, 10, 8, 3]]
TINY = {"model_type": "gpt2", "vocab_size": 17, "n_positions": 11, "n_embd": 12, "n_head": 3, "n_layer": 2}
RENAMED = {
    "model_type": "gpt2", "vocab_size": 17, "max_position_embeddings": 11, "hidden_size": 12,
    "num_attention_heads": 3, "num_hidden_layers": 2,
}  # fmt: skip
NAMES = "relu silu swish tanh gelu quick_gelu gelu_fast gelu_pytorch_tanh"
CASES = {  # config.json, tensors beyond the usual ones
    "usual": (TINY, {}),
    "aliases": (RENAMED, {}),
    "no n_positions": ({key: TINY[key] for key in TINY if key != "n_positions"}, {}),
    "n_inner": (TINY | {"n_inner": 5}, {}),
    **{name: (TINY | {"activation_function": name}, {}) for name in NAMES.split()},
    "by layer": (TINY | {"scale_attn_by_inverse_layer_idx": True}, {}),
    "not by width": (TINY | {"scale_attn_weights": False, "reorder_and_upcast_attn": True}, {}),
    "all together": (
        TINY
        | {"n_inner": 20, "activation_function": "relu", "scale_attn_by_inverse_layer_idx": True}
        | {"scale_attn_weights": False, "tie_word_embeddings": False},
        {"lm_head.weight": (17, 12)},
    ),
    "a head of its own that config.json does not know": (TINY, {"lm_head.weight": (17, 12)}),
    "a head of its own that config.json denies": (
        TINY | {"tie_word_embeddings": True}, {"lm_head.weight": (17, 12)},
    ),
    "a head for another task": (TINY, {"score.weight": (2, 12), "multiple_choice_head.summary.bias": (1,)}),
    "float64": (TINY | {"dtype": "float32"}, {}),
}  # fmt: skip


def tensors(case):
    """Return {name: array} of the weights that a case has, in Hugging Face's names."""
    config, more = CASES[case]
    C, V = 12, 17
    inner, n_ctx = config.get("n_inner", 4 * C), 11 if "no n_positions" not in case else 1024
    shapes = {"transformer.wte.weight": (V, C), "transformer.wpe.weight": (n_ctx, C)}
    for layer in range(2):
        for name, shape in (
            ("ln_1", (C,)), ("attn.c_attn", (C, 3 * C)), ("attn.c_proj", (C, C)), ("ln_2", (C,)),
            ("mlp.c_fc", (C, inner)), ("mlp.c_proj", (inner, C)),
        ):  # fmt: skip
            shapes[f"transformer.h.{layer}.{name}.weight"] = shape
            shapes[f"transformer.h.{layer}.{name}.bias"] = shape[-1:]
    shapes |= {"transformer.ln_f.weight": (C,), "transformer.ln_f.bias": (C,)} | more
    rng, dtype = np.random.default_rng(0), np.float64 if case == "float64" else np.float32
    return {name: (0.5 * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}


def write(folder, case):
    """Write the config.json and model.safetensors of a case into a folder."""
    from picogpt.checkpoints import safetensors

    (Path(folder) / "config.json").write_text(json.dumps(CASES[case][0]))
    safetensors.write(Path(folder) / "model.safetensors", tensors(case), {"format": "pt"})


def facts(folder):
    """Return what transformers computes from a folder: logits, and the gradient of the first c_fc."""
    import torch
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    logits = model(torch.tensor(IDS)).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(TARGETS).flatten())
    loss.backward()
    return logits.detach().numpy(), model.transformer.h[0].mlp.c_fc.weight.grad.numpy()


def main():
    """Write the record."""
    import tempfile

    record = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, case)
            record[f"{case}: logits"], record[f"{case}: gradient"] = facts(folder)
    np.savez_compressed(RECORD, **record)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
