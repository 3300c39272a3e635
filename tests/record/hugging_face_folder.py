"""Record what Hugging Face saves: two tiny models with their logits, and a tokenizer with its ids.

    pip install -e ".[reference]"
    python tests/record/hugging_face_folder.py

hf_gpt2: a tiny GPT2LMHeadModel, by save_pretrained. hf_sharded: one with the exact gelu and a head of its
own, in bfloat16, cut into files. hf_tokenizer: a byte-level BPE that `tokenizers` learned from
tinyshakespeare, as tokenizer.json, and the ids of some texts.
"""

import json
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
REFERENCES = TESTS / "references"
TINY = dict(vocab_size=17, n_positions=11, n_embd=12, n_head=3, n_layer=2)
IDS = [[3, 1, 4, 1, 5, 9, 2], [6, 16, 0, 7, 15, 10, 8]]
TEXTS = ["", "The rest is silence.", "  Who's  there?\n\n", "naïve \U0001f600 \x00", "1603 A.D."]


def save_model(folder, dtype, shard_size, **config):
    """Save a random model, and the logits that it has for IDS when read back in float32."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    ids = dict(bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel(GPT2Config(**TINY, **ids, initializer_range=0.5, **config))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard_size)
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        np.save(folder / "logits.npy", model(torch.tensor(IDS)).logits.numpy())
    (folder / "generation_config.json").unlink()


def save_tokenizer(folder):
    """Learn a tokenizer whose ids begin with two special tokens, and write what it makes of TEXTS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(TESTS / "data" / "tinyshakespeare.txt")], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "ids.json").write_text(json.dumps({text: tokenizer.encode(text).ids for text in TEXTS}) + "\n")


def save_gpt1(folder):
    """Save a random GPT-1 with its logits, and a tokenizer with what it makes of TEXTS and back."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel, OpenAIGPTTokenizer

    learner = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    learner.train([str(TESTS / "data" / "tinyshakespeare.txt")], trainer)
    learned = json.loads(learner.to_str())["model"]
    with (folder / "vocab.json").open("w") as file:
        json.dump(learned["vocab"], file)
    pairs = [" ".join(pair) for pair in learned["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))
    tokenizer = OpenAIGPTTokenizer.from_pretrained(folder)
    said = {}
    for text in [
        *TEXTS,
        "To be, or NOT to be: \u00c9lan\u4f60\u597d! It's  \u0130\u03a3\u03a3\n3rd.\ufffd\x07",
    ]:
        ids = tokenizer(text)["input_ids"]
        said[text] = [ids, tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)]
    (folder / "ids.json").write_text(json.dumps(said) + "\n")
    torch.manual_seed(0)
    sizes = dict(vocab_size=300, n_positions=11, n_embd=12, n_head=3, n_layer=2)
    model = OpenAIGPTLMHeadModel(OpenAIGPTConfig(**sizes, initializer_range=0.5))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    with torch.no_grad():
        np.save(folder / "logits.npy", model.eval()(torch.tensor(IDS)).logits.numpy())
    (folder / "generation_config.json").unlink(missing_ok=True)


def main():
    import tokenizers
    import torch
    import transformers

    folders = [REFERENCES / name for name in ("hf_gpt2", "hf_sharded", "hf_tokenizer", "hf_gpt1")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    save_model(folders[0], torch.float32, "1GB")
    own_head = dict(tie_word_embeddings=False, activation_function="gelu")
    save_model(folders[1], torch.bfloat16, "5KB", **own_head)
    save_tokenizer(folders[2])
    save_gpt1(folders[3])
    modules = (np, tokenizers, torch, transformers)
    versions = {"python": sys.version.split()[0]} | {m.__name__: m.__version__ for m in modules}
    for folder in folders:
        (folder / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
