"""The weights of one model's folder in the formats of other engines: Hugging Face's, GGUF and ONNX.

Each function writes into the folder, beside picogpt's own files, once, and returns the path of what it wrote.
"""

import json
import re
from pathlib import Path

import numpy as np
from formats import gguf_model

from picogpt.checkpoints import huggingface, weights
from picogpt.params.tree import flatten
from picogpt.text import bpe, hf_bpe


def read(folder):
    """Return ({path: array}, hparams) of a model's folder."""
    params, hparams, _ = weights.load(folder)
    return flatten(params), hparams


def hugging_face(folder):
    """Write what `from_pretrained` reads, tokenizer included, as a download from the Hub has it."""
    out = Path(folder, "hugging_face")
    if (out / huggingface.CONFIG).exists():
        return out
    out.mkdir(exist_ok=True)
    params, hparams, encoder = weights.load(folder)
    hf_bpe.save(out, encoder)
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    huggingface.write(out, params, hparams)  # without the tokenizer, no token ends a text early
    return out


GGUF_NAMES = dict(
    wte="token_embd.weight", wpe="position_embd.weight", ln_f="output_norm", ln_1="attn_norm",
    ln_2="ffn_norm", **{"attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output"},
    **{"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"},
)  # fmt: skip


def gguf_name(path):
    """Return what llama.cpp calls the parameter at `path` in the tree.

    >>> [gguf_name(path) for path in ("wte", "ln_f.g", "blocks.3.mlp.c_fc.w")]
    ['token_embd.weight', 'output_norm.weight', 'blk.3.ffn_up.weight']
    """
    if path in GGUF_NAMES:
        return GGUF_NAMES[path]
    block, rest = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.*)", path).groups()
    module, _, leaf = rest.rpartition(".")
    name = GGUF_NAMES[module] + (".bias" if leaf == "b" else ".weight")
    return name if block is None else f"blk.{block}.{name}"


def gguf(folder, dtype="f32"):
    """Write model.gguf for llama.cpp. Its matrices are [out, in], in f32, or f16 or q8_0 by `gguf_model`."""
    import gguf

    path = Path(folder, "model.gguf" if dtype == "f32" else f"{dtype}/model.gguf")
    if path.exists():
        return path
    if dtype != "f32":
        path.parent.mkdir()
        return gguf_model.write(path.parent, *read(folder), bpe.load_encoder(folder), dtype)
    params, hparams = read(folder)
    encoder = bpe.load_encoder(folder)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(hparams["n_ctx"])
    writer.add_embedding_length(hparams["n_embd"])
    writer.add_block_count(hparams["n_layer"])
    writer.add_feed_forward_length(4 * hparams["n_embd"])
    writer.add_head_count(hparams["n_head"])
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([encoder.decoder[i] for i in range(encoder.n_vocab)])
    kinds = [gguf.TokenType.NORMAL] * (encoder.n_vocab - 1) + [gguf.TokenType.CONTROL]
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{encoder.decoder[a]} {encoder.decoder[b]}" for a, b in encoder.merges])
    writer.add_bos_token_id(encoder.eot)
    writer.add_eos_token_id(encoder.eot)
    for name, array in params.items():
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(array.T) if name.endswith(".w") else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class Nodes(list):
    """The operators of an ONNX graph in their order; each is added under the name of what it makes."""

    def add(self, op, took, made, domain="", **settings):
        """Add one; return the name of its first result."""
        from onnx import helper

        made = [made] if isinstance(made, str) else made
        self.append(helper.make_node(op, took, made, domain=domain, **settings))
        return made[0]

    def add_and_norm(self, x, y, bias, norm):
        """Return layer_norm(x + y + bias), and the sum: the new residual stream."""
        made = [f"{norm}.y", "", "", f"{norm}.x"]
        took = [x, y, f"{norm}.g", f"{norm}.b", bias]
        return self.add("SkipLayerNormalization", took, made, "com.microsoft", epsilon=1e-5), f"{norm}.x"

    def block(self, x, y, layer, norm, n_head):
        """Add a block to the residual stream x, y after its first norm; return both after the next `norm`."""
        block, cache = f"blocks.{layer}", [names_of_cache(layer, time) for time in ("past", "present")]
        qkv = self.add("MatMul", [y, f"{block}.attn.c_attn.w"], f"{block}.attn.c_attn.product")
        qkv = self.add("Add", [qkv, f"{block}.attn.c_attn.b"], f"{block}.attn.c_attn.y")
        heads = self.add(
            "GroupQueryAttention", [qkv, "", "", *cache[0], "last_seen", "total"],
            [f"{block}.heads", *cache[1]], "com.microsoft", num_heads=n_head, kv_num_heads=n_head,
        )  # fmt: skip
        y = self.add("MatMul", [heads, f"{block}.attn.c_proj.w"], f"{block}.attended")
        y, x = self.add_and_norm(x, y, f"{block}.attn.c_proj.b", f"{block}.ln_2")
        y = self.add("MatMul", [y, f"{block}.mlp.c_fc.w"], f"{block}.product")
        y = self.add("FastGelu", [y, f"{block}.mlp.c_fc.b"], f"{block}.gelu", "com.microsoft")
        y = self.add("MatMul", [y, f"{block}.mlp.c_proj.w"], f"{block}.fed")
        return self.add_and_norm(x, y, f"{block}.mlp.c_proj.b", norm)[::-1]

    def model(self, n_layer, n_head):
        """Add GPT-2, from ids and positions to the logits of the last token."""
        x = self.add("Gather", ["wte", "ids"], "tokens")
        x = self.add("Add", [x, self.add("Gather", ["wpe", "positions"], "places")], "embedded")
        first = [x, "blocks.0.ln_1.g", "blocks.0.ln_1.b"]
        y = self.add("LayerNormalization", first, "normed", epsilon=1e-5)
        for layer in range(n_layer):
            norm = "ln_f" if layer + 1 == n_layer else f"blocks.{layer + 1}.ln_1"
            x, y = self.block(x, y, layer, norm, n_head)
        y = self.add("Slice", [y, "minus_1", "end", "axis_1"], "last")
        self.add("MatMul", [y, "head"], "logits")


def names_of_cache(layer, time):
    """Return what the buffers of a layer's keys and values are called, "past" or "present"."""
    return [f"{kv}_{time}_{layer}" for kv in "kv"]


def onnx(folder):
    """Write model.onnx with a cache of keys and values, of the operators that onnxruntime fuses GPT-2 into.

    ids, positions [B, T], total (tokens so far, these included), last_seen [B] (total - 1), and for each
    layer the buffers k_past, v_past [B, H, S, D] -> logits [B, 1, V] of the last token, and the buffers
    again, k_present, v_present: the same memory where the caller binds them so.
    """
    import onnx
    from onnx import TensorProto, helper

    path = Path(folder, "model.onnx")
    if path.exists():
        return path
    params, hparams = read(folder)
    n_head, n_layer = hparams["n_head"], hparams["n_layer"]
    nodes, tensor = Nodes(), helper.make_tensor_value_info
    nodes.model(n_layer, n_head)

    shape = ["B", n_head, "S", hparams["n_embd"] // n_head]
    inputs, outputs = (
        [tensor(name, TensorProto.FLOAT, shape) for n in range(n_layer) for name in names_of_cache(n, time)]
        for time in ("past", "present")
    )
    inputs += [tensor(name, TensorProto.INT64, ["B", "T"]) for name in ("ids", "positions")]
    inputs += [tensor("last_seen", TensorProto.INT32, ["B"]), tensor("total", TensorProto.INT32, [1])]
    outputs += [tensor("logits", TensorProto.FLOAT, ["B", 1, hparams["n_vocab"]])]

    constants = params | dict(head=np.ascontiguousarray(params["wte"].T))
    constants |= {name: np.array([n]) for name, n in dict(minus_1=-1, end=2**31, axis_1=1).items()}
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "gpt2", inputs, outputs, arrays)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, path, save_as_external_data=True, location="model.onnx.data")
    return path
