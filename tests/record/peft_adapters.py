"""Record LoRA adapters of PEFT's on a tiny GPT-2, with the logits they give: tests/references/peft.

    pip install -e ".[reference]" peft
    python tests/record/peft_adapters.py

The base model is tests/references/hf_gpt2. (This file is not named after the library: Python would then find
it where it looks for the package.)
"""

import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np

REFERENCES = Path(__file__).parents[1] / "references"
BASE, RECORD = REFERENCES / "hf_gpt2", REFERENCES / "peft"
IDS = [[3, 1, 4, 1, 5, 9, 2], [6, 16, 0, 7, 15, 10, 8]]
CASES = {
    "usual": dict(target_modules=["c_attn", "c_proj"]),
    "rank_stabilised": dict(target_modules=["c_attn", "c_fc"], use_rslora=True),
    "patterns": dict(
        target_modules=["c_attn", "c_proj"], rank_pattern={"c_proj": 1}, alpha_pattern={"h.1.attn.c_attn": 9}
    ),
    "biases": dict(target_modules=["c_attn"], bias="all", lora_bias=False),
    "bias_of_the_update": dict(target_modules=["c_fc"], lora_bias=True),
    "saved_whole": dict(target_modules=["c_fc"], modules_to_save=["wpe", "ln_f"]),
    "embedding_and_head": dict(target_modules=["wte", "lm_head"]),
    "head_alone": dict(target_modules=["lm_head"]),
}


def logits_of(folder, base=BASE):
    """Return the logits of the base model with a folder's adapter, by PEFT."""
    import peft
    import torch
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that will change, and on what tied arrays may lead to
        model = peft.PeftModel.from_pretrained(model, folder).eval()
    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.numpy()


def main():
    """Write the record."""
    import peft
    import torch
    from transformers import GPT2LMHeadModel

    shutil.rmtree(RECORD, ignore_errors=True)
    for case, config in CASES.items():
        torch.manual_seed(0)
        model = GPT2LMHeadModel.from_pretrained(BASE, dtype=torch.float32)
        config = peft.LoraConfig(r=2, lora_alpha=3, task_type="CAUSAL_LM", fan_in_fan_out=True, **config)
        model = peft.get_peft_model(model, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.5)
        folder = RECORD / case
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        path = folder / "adapter_config.json"
        content = json.loads(path.read_text()) | {"base_model_name_or_path": "tests/references/hf_gpt2"}
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
        np.save(folder / "logits.npy", logits_of(folder))


if __name__ == "__main__":
    sys.exit(main())
