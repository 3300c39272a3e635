"""Every key of a GPT-2's config.json: what it means for the model here, or why it must not be set.

The reference is GPT2Config of transformers 5.24, with its defaults. Keys that it does not have do nothing
there, and nothing here.
"""

ALIASES = {  # newer programs' names
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
HPARAMS = {  # our name: theirs, and the number if none is given
    "n_vocab": ("vocab_size", 50257),  # rows of the token embedding: some are padding, see weights.py
    "n_ctx": ("n_positions", 1024),
    "n_embd": ("n_embd", 768),
    "n_head": ("n_head", 12),
    "n_layer": ("n_layer", 12),
}
ACTIVATIONS = {  # activation_function: our options; the first of equals is the one that is written
    "gelu_new": {},
    "gelu_pytorch_tanh": {},
    "gelu_python_tanh": {},
    "gelu_accurate": {},
    "gelu_fast": {},
    "gelu": {"gelu": "erf"},
    "gelu_python": {"gelu": "erf"},
    "quick_gelu": {"gelu": "quick"},
    "relu": {"activation": "relu"},
    "silu": {"activation": "silu"},
    "swish": {"activation": "silu"},
    "tanh": {"activation": "tanh"},
}
GPT1, IMAGE_GPT = "openai-gpt", "imagegpt"
IMAGE_GPTS = {  # ImageGPTConfig's defaults, where they are not GPT2Config's
    "vocab_size": 513,  # 512 colours, and what starts a picture
    "n_embd": 512,
    "n_head": 8,
    "n_layer": 24,
    "activation_function": "quick_gelu",
    "tie_word_embeddings": False,
}
GPT1S_ACTIVATIONS = {
    "gelu": "gelu_new",
    "relu": "relu",
    "silu": "silu",
    "swish": "swish",
}  # afn: GPT-2's name
FLAGS = {  # our option: their key, which means the same, and what it is if nothing is said
    "tied": ("tie_word_embeddings", True),  # what the files say counts more, see huggingface.adapt
    "scale_by_layer": ("scale_attn_by_inverse_layer_idx", False),
    "scale_by_width": ("scale_attn_weights", True),
}
REFUSED = {  # what else changes the result: the value that GPT-2 has
    "model_type": "gpt2",
    "layer_norm_epsilon": 1e-5,
    "add_cross_attention": False,
    "pruned_heads": {},  # of transformers 4
    "quantization_config": None,  # the weights are not what they seem
}
NO_EFFECT = {  # on the result: what GPT2Config has besides, and every config
    "n_ctx": "of transformers 2: n_positions",
    "reorder_and_upcast_attn": "the order of a product, and float32, in which everything is computed here",
    "use_cache": "how fast it is",
    "resid_pdrop": "training",
    "embd_pdrop": "training",
    "attn_pdrop": "training",
    "initializer_range": "training",
    "summary_type": "a head for another task, as the four below",
    "summary_use_proj": "",
    "summary_activation": "",
    "summary_proj_to_labels": "",
    "summary_first_dropout": "",
    "bos_token_id": "the tokenizer, see hf_files.text_token",
    "eos_token_id": "the tokenizer",
    "pad_token_id": "batches",
    "architectures": "which program: other heads are left out",
    "dtype": "half precision is widened",
    "torch_dtype": "the same",
    "task_specific_params": "how a text is sampled",
    "transformers_version": "who wrote it",
}


def hparams_of(config):
    """Return the hyper-parameters of a config.json; what picogpt cannot compute is a ValueError."""
    config, norm = in_one_name(config), {}
    if config.get("model_type") == GPT1:
        config, norm = as_gpt2s(config), {"norm": "post"}
    elif config.get("model_type") == IMAGE_GPT:
        config, norm = IMAGE_GPTS | config | {"model_type": "gpt2"}, {"rms": True}
    for key, value in REFUSED.items():
        if config.get(key, value) not in (value, None):
            raise ValueError(
                f"{key} is {config[key]!r}, but picogpt computes with {value!r}, as GPT-2 does:"
                " run this model in transformers"
            )
    activation = config.get("activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation_function is {activation!r}, but picogpt knows only {', '.join(ACTIVATIONS)}:"
            " run this model in transformers"
        )
    hparams = {name: config.get(theirs, usual) for name, (theirs, usual) in HPARAMS.items()}
    hparams |= {option: config.get(theirs, usual) for option, (theirs, usual) in FLAGS.items()}
    for name, (theirs, usual) in (HPARAMS | FLAGS).items():
        if type(hparams[name]) is not type(usual):
            must = "true or false" if name in FLAGS else "a whole number"
            raise ValueError(f"{theirs} is {hparams[name]!r:.80}, but must be {must}")
    n_inner = config.get("n_inner")
    if n_inner is not None and n_inner != 4 * hparams["n_embd"]:
        hparams["n_inner"] = n_inner
    return hparams | ACTIVATIONS[activation] | norm


def as_gpt2s(config):
    """Return GPT-1's config as one of GPT-2: some keys have other names, some defaults are other ones."""
    afn = config.get("afn", "gelu")
    if afn not in GPT1S_ACTIVATIONS:
        raise ValueError(f"afn is {afn!r}, but openai-gpt knows only {', '.join(GPT1S_ACTIVATIONS)}")
    usual = {"vocab_size": 40478, "n_positions": 512}
    return usual | config | {"model_type": "gpt2", "activation_function": GPT1S_ACTIVATIONS[afn]}


def in_one_name(config):
    """Return a config in which each number stands under its first name; two that differ are a ValueError."""
    config = dict(config)
    for alias, key in ALIASES.items():
        if alias in config and config.setdefault(key, config[alias]) != config[alias]:
            raise ValueError(f"{key} is {config[key]!r}, but {alias}, which is the same, {config[alias]!r}")
    return config


def config_of(hparams):
    """Return what a config.json says of hyper-parameters: the inverse of `hparams_of`."""
    chosen = {key: hparams[key] for key in ("gelu", "activation") if key in hparams}
    chosen = {
        key: value
        for key, value in chosen.items()
        if (key, value) not in (("gelu", "tanh"), ("activation", "gelu"))
    }
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{theirs: hparams[name] for name, (theirs, _) in HPARAMS.items()},
        "n_inner": hparams.get("n_inner") or None,
        "activation_function": next(name for name, options in ACTIVATIONS.items() if options == chosen),
        "layer_norm_epsilon": 1e-5,
        **{theirs: hparams.get(option, usual) for option, (theirs, usual) in FLAGS.items()},
        "add_cross_attention": False,
    }
    return as_gpt1s(config) if hparams.get("norm") == "post" else config


def as_gpt1s(config):
    """Return GPT-2's config as one of GPT-1, which cannot say all that one can: the inverse of `as_gpt2s`."""
    afn = {theirs: afn for afn, theirs in GPT1S_ACTIVATIONS.items()}.get(config["activation_function"])
    fixed = {"n_inner": None, "scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True}
    if afn is None or any(config[key] != value for key, value in fixed.items()):
        raise ValueError(
            "a model with norm 'post' and another feed-forward layer or other scales than GPT-1's cannot be"
            " written for Hugging Face: use --to picogpt"
        )
    dropped = (*fixed, "activation_function", "add_cross_attention")
    others = {key: value for key, value in config.items() if key not in dropped}
    return others | {"architectures": ["OpenAIGPTLMHeadModel"], "model_type": GPT1, "afn": afn}
