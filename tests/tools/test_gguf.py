"""llama.cpp's files: written, they are what transformers and gguf's own reader find; and read."""

import sys
from pathlib import Path

import convert as tool
import numpy as np
import pytest
from formats import gguf_model

from picogpt.checkpoints import weights
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params
from picogpt.params.tree import flatten
from picogpt.text import hf_bpe

gguf = pytest.importorskip("gguf", reason="reads and writes llama.cpp's files where gguf is installed")

TOKENIZER = Path(__file__).parents[1] / "references" / "hf_tokenizer"
HPARAMS = dict(n_vocab=500, n_ctx=1024, n_embd=32, n_head=4, n_layer=2)  # transformers assumes 1024
IDS = [[3, 1, 4, 1, 5, 9, 2, 499]]
BOUNDS = dict(f32=0, f16=2e-3, bf16=1e-2, q8_0=2e-2)  # of the weights, which are about 0.5


@pytest.fixture
def folder(tmp_path):
    """A model that reads bytes, with weights that are not small."""
    params = init_params(HPARAMS, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for w in flatten(params).values():
        w[...] = 0.3 * rng.standard_normal(w.shape)
    weights.save(tmp_path / "model", params, HPARAMS, hf_bpe.load_encoder(TOKENIZER))
    return tmp_path / "model"


def logits_of(folder):
    params, hparams, _ = weights.load(folder)
    return gpt2(IDS, params, hparams["n_head"])


@pytest.mark.parametrize("dtype", gguf_model.DTYPES)
def test_a_file_is_written_and_read_again(folder, tmp_path, dtype):
    tool.convert(str(folder), to="gguf", out=str(tmp_path / "theirs"), dtype=dtype)
    tool.convert(str(tmp_path / "theirs" / "model.gguf"), out=str(tmp_path / "again"))
    params, hparams, encoder = weights.load(tmp_path / "again")
    assert hparams == HPARAMS
    expected, _, own = weights.load(folder)
    for path, w in flatten(params).items():
        exact = w.ndim == 1 or path == "wpe" or dtype == "f32"
        assert np.abs(w - flatten(expected)[path]).max() <= (0 if exact else BOUNDS[dtype]), path
    assert encoder.encoder == own.encoder and encoder.merges == own.merges
    assert (encoder.start, encoder.eot) == (own.start, own.eot) == (0, 0)
    text = "The rest is silence.<|endoftext|>"
    for allow in (True, False):
        assert encoder.encode(text, allow_eot=allow) == own.encode(text, allow_eot=allow)
    assert sorted(path.name for path in (tmp_path / "theirs").iterdir()) == ["model.gguf"]


@pytest.mark.parametrize("dtype", gguf_model.DTYPES)
def test_transformers_computes_the_same_from_it(folder, tmp_path, dtype):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    tool.convert(str(folder), to="gguf", out=str(tmp_path / "theirs"), dtype=dtype)
    tool.convert(str(tmp_path / "theirs" / "model.gguf"), out=str(tmp_path / "again"))
    theirs = transformers.GPT2LMHeadModel.from_pretrained(
        tmp_path / "theirs", gguf_file="model.gguf", dtype=torch.float32
    )
    with torch.no_grad():
        logits = theirs.eval()(torch.tensor(IDS)).logits.numpy()
    np.testing.assert_allclose(logits, logits_of(tmp_path / "again"), atol=1e-3)


def test_a_file_holds_what_llama_cpp_looks_for(folder, tmp_path):
    tool.convert(str(folder), to="gguf", out=str(tmp_path / "theirs"), dtype="q8_0")
    reader = gguf.GGUFReader(tmp_path / "theirs" / "model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "gpt2"
    for key, value in dict(
        context_length=1024, embedding_length=32, block_count=2, feed_forward_length=128
    ).items():
        assert fields[f"gpt2.{key}"] == value
    assert fields["gpt2.attention.head_count"] == 4
    assert fields["gpt2.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    assert (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert fields["tokenizer.ggml.tokens"][:2] == ["<|endoftext|>", "<pad>"]
    assert fields["tokenizer.ggml.token_type"][:3] == [3, 3, 1]
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    named = gguf.MODEL_TENSORS[gguf.MODEL_ARCH.GPT2]
    wanted = {gguf.TENSOR_NAMES[tensor].format(bid=bid) for tensor in named for bid in range(2)}
    assert {name.rpartition(".")[0] for name in kinds} == wanted - {"output"}  # the embedding is it
    assert kinds["blk.0.attn_qkv.weight"] == kinds["token_embd.weight"] == "Q8_0"
    assert kinds["position_embd.weight"] == kinds["blk.0.ffn_up.bias"] == kinds["output_norm.weight"] == "F32"
    [qkv] = [tensor for tensor in reader.tensors if tensor.name == "blk.1.attn_qkv.weight"]
    assert qkv.shape.tolist() == [32, 96]  # its fastest axis first: 96 rows of 32


def test_a_head_of_its_own_and_padding_are_read(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "made.gguf"
    hparams = dict(n_vocab=270, n_ctx=8, n_embd=32, n_head=2, n_layer=1, n_inner=64, tied=False)
    params = init_params(hparams, rng)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(8)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    symbols = [*hf_bpe.bpe.byte_symbols().values()]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*symbols, "ab", "<s>", "<new>", *(f"[PAD{n}]" for n in range(259, 270))])
    writer.add_token_types([1] * 257 + [3, 4] + [5] * 11)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_add_bos_token(True)
    for name, array in flatten(params).items():
        writer.add_tensor(
            gguf_model.their_name(name), np.ascontiguousarray(array.T if name.endswith(".w") else array)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tool.convert(str(path), out=str(tmp_path / "new"))
    again, found, encoder = weights.load(tmp_path / "new")
    assert found == hparams | dict(n_vocab=259)
    np.testing.assert_array_equal(again["lm_head"], params["lm_head"][:259])
    assert encoder.encode("ab<new>") == [257, 256, 258]
    assert encoder.encode("<s>", allow_eot=True) == [257, 257]
    assert (encoder.start, encoder.eot) == (257, 257)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"tokenizer.ggml.pre": "llama-bpe"},
            "tokenizer.ggml.pre is 'llama-bpe', and only gpt-2 can be read",
        ),
        ({"tokenizer.ggml.model": "llama"}, "tokenizer.ggml.model is 'llama', and only gpt2 can be read"),
        ({"tokenizer.ggml.merges": ["a b c"]}, "merge 1 of tokenizer.ggml.merges is 'a b c', and not two"),
        ({"tokenizer.ggml.tokens": None}, "cannot be used .*: convert it anew"),
        ({"gpt2.attention.layer_norm_epsilon": "x"}, "has layer_norm_epsilon 'x', but picogpt computes with"),
        ({"gpt2.feed_forward_length": [1]}, "is not a GPT-2 as llama.cpp has it"),
        ({"gpt2.context_length": -1}, "is not a GPT-2 as llama.cpp has it .n_ctx is -1"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_file(folder, tmp_path, monkeypatch, fields, says):
    tool.convert(str(folder), to="gguf", out=str(tmp_path / "new"))
    path = tmp_path / "new" / "model.gguf"
    contents = gguf.ReaderField.contents
    monkeypatch.setattr(
        gguf.ReaderField, "contents", lambda field: fields.get(field.name, contents(field)), raising=True
    )
    with pytest.raises(ValueError, match=f"{path} .*{says}"):
        gguf_model.read(path)


def test_what_cannot_be_read_or_written_is_reported(folder, tmp_path, monkeypatch):
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(ValueError, match=r"cut.gguf cannot be read as a GGUF file \(.*\): download it again"):
        tool.convert(str(tmp_path / "cut.gguf"), out=str(tmp_path / "new"))
    writer = gguf.GGUFWriter(tmp_path / "llama.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="is of the architecture llama, and picogpt computes gpt2 alone"):
        tool.convert(str(tmp_path / "llama.gguf"), out=str(tmp_path / "new"))
    params, hparams, encoder = weights.load(folder)
    relu = {"activation": "relu"}
    for block in params["blocks"]:
        block["mlp"]["relu"] = np.empty(0, np.float32)
    weights.save(tmp_path / "relu", params, hparams | relu, encoder)
    with pytest.raises(ValueError, match="has activation 'relu', which --to gguf cannot say: use --to hf"):
        tool.convert(str(tmp_path / "relu"), to="gguf", out=str(tmp_path / "new"))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ValueError, match=r'need the package gguf: pip install -e "\.\[gguf\]"'):
        tool.convert(str(folder), to="gguf", out=str(tmp_path / "new2"))
