"""Every key of Hugging Face's tokenizer files: what it does to the ids here, or why it must not be set.

The reference is what tokenizers 0.23 and transformers 5.24 do. Where these two disagree about a file, which
happens when tokenizer_config.json names GPT2Tokenizer and tokenizer.json says more than that class reads, the
file is refused too.
"""

ALL_IN_ONE, VOCAB, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
MODEL_CONFIG, GENERATION = "config.json", "generation_config.json"

HONOURED = "it changes the ids, as it does there"
NO_EFFECT = "it changes no id"


class Kind(tuple):
    """Types of Python: a key may have a value of one of them, which is honoured; any other is refused."""


FLAG, TOKEN = Kind([bool]), Kind([str, dict, type(None)])
NOUNS = {bool: "true or false", str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def only(*values):
    """Let a key have one of these values, and be refused with any other."""
    return values


TOKENIZER_JSON = {
    "version": only(None, "1.0"),
    "added_tokens": Kind([list, type(None)]),  # tokens found in a text before anything else, see ADDED_TOKEN
    "model": Kind([dict]),  # see MODEL
    "pre_tokenizer": Kind([dict, type(None)]),  # how a text is cut into words, see PRE_TOKENIZER
    "post_processor": Kind([dict, type(None)]),  # what stands before and after each text
    # a longer text is refused: transformers reads all of it, tokenizers does not
    "truncation": Kind([dict, type(None)]),
    "padding": NO_EFFECT,  # fills the rows of a batch, which is done elsewhere here
    "decoder": Kind([dict, type(None)]),  # ids are decoded as bytes, see DECODER
    "normalizer": only(None, {"type": "Sequence", "normalizers": []}),  # changes a text: GPT-2 changes none
}

MODEL = {
    "type": only("BPE", None),
    "vocab": Kind([dict]),  # {token: id}
    "merges": Kind([list]),  # pairs of tokens, or "a b"
    "unk_token": Kind([str, type(None)]),  # what stands for a byte that has no token
    "fuse_unk": Kind([bool, type(None)]),  # whether it stands once for several of them in a row
    "ignore_merges": FLAG,  # whether a word that is a token is that token, whatever the merges make
    "dropout": only(None, 0),  # of merges, by chance
    "continuing_subword_prefix": only(None, ""),  # of the pieces of a word but the first
    "end_of_word_suffix": only(None, ""),  # of the last piece of a word
    "byte_fallback": only(None, False),  # writes an unknown byte as the token <0x0A>
}

PRE_TOKENIZER = {
    "type": only("ByteLevel"),
    "add_prefix_space": FLAG,  # whether a text that does not begin with a space gets one
    "use_regex": only(True, None),  # false: a text is one word
    "trim_offsets": NO_EFFECT,  # where the tokens lie in the text
}

TRUNCATION = {
    "max_length": Kind([int]),
    "direction": NO_EFFECT,  # which part of a text that is too long is kept
    "strategy": NO_EFFECT,
    "stride": NO_EFFECT,
}

DECODER = {
    "type": only("ByteLevel"),
    "add_prefix_space": NO_EFFECT,
    "use_regex": NO_EFFECT,
    "trim_offsets": NO_EFFECT,
}

ADDED_TOKEN = {  # in tokenizer.json, tokenizer_config.json and special_tokens_map.json
    "id": Kind([int]),
    "content": Kind([str]),
    "special": FLAG,  # a control token: found in a text only where the caller allows it
    "single_word": FLAG,  # not found within a word
    "lstrip": FLAG,  # takes the white space before it with it
    "rstrip": FLAG,  # and that after it
    "normalized": FLAG,  # sought after the others, in what they have left
    "__type": NO_EFFECT,
}

TOKENIZER_CONFIG = {
    "tokenizer_class": HONOURED,  # one of CLASSES
    "added_tokens_decoder": Kind([dict]),  # {id: added token}
    "bos_token": TOKEN,  # what a text begins after
    "eos_token": TOKEN,  # what a text ends with
    "unk_token": TOKEN,  # a control token; so are all other keys that end in _token
    "pad_token": TOKEN,
    "sep_token": TOKEN,
    "cls_token": TOKEN,
    "mask_token": TOKEN,
    "additional_special_tokens": Kind([list, dict, type(None)]),  # more control tokens
    "extra_special_tokens": Kind([list, dict, type(None)]),  # the same, a list or {name: token}
    "model_specific_special_tokens": Kind([dict, type(None)]),  # the same, where nothing else names them
    "add_prefix_space": FLAG,
    "add_bos_token": FLAG,  # of vocab.json and merges.txt; beside a tokenizer.json it does nothing
    "add_eos_token": FLAG,
    "split_special_tokens": FLAG,  # control tokens in a text are never found
    "auto_map": only(None),  # a program that comes with the model
    **dict.fromkeys(("vocab", "merges", "post_processor", "tokenizer_object", "gguf_file"), only(None)),
    **dict.fromkeys(("tokenizer_truncation", "tokenizer_padding"), only(None)),  # they replace the files
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": only(None, False),
    "errors": NO_EFFECT,  # what becomes of bytes that are no text: U+FFFD, whatever it says
    "clean_up_tokenization_spaces": NO_EFFECT,  # of decoded text, and not of byte-level BPE
    "model_max_length": NO_EFFECT,  # the model's context says that
    "max_len": NO_EFFECT,
    "chat_template": NO_EFFECT,  # text for programs that chat
    "model_input_names": NO_EFFECT,
    "padding_side": NO_EFFECT,  # batches are padded elsewhere here
    "pad_to_multiple_of": NO_EFFECT,
    "pad_token_type_id": NO_EFFECT,
    "truncation_side": NO_EFFECT,  # nothing is cut unless a caller asks for it
    "truncation_strategy": NO_EFFECT,
    "max_length": NO_EFFECT,
    "stride": NO_EFFECT,
    "backend": NO_EFFECT,  # which program reads or wrote the files, and where they lay
    "is_local": NO_EFFECT,
    "local_files_only": NO_EFFECT,
    "files_loaded": NO_EFFECT,
    "from_slow": NO_EFFECT,
    "legacy": NO_EFFECT,
    "name_or_path": NO_EFFECT,
    "processor_class": NO_EFFECT,
    "special_tokens_map_file": NO_EFFECT,
    "tokenizer_file": NO_EFFECT,
    "trust_remote_code": NO_EFFECT,
    "use_fast": NO_EFFECT,
    "verbose": NO_EFFECT,
    "init_inputs": only(None, []),
}

SPECIAL_TOKENS_MAP = {  # of older folders; an added_tokens_decoder in tokenizer_config.json takes its place
    key: decision for key, decision in TOKENIZER_CONFIG.items() if key.endswith(("_token", "_special_tokens"))
}
# added_tokens.json, of older folders too, has no keys but the tokens themselves: {token: id}.

GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")  # read vocabulary, merges, added tokens and template
CLASSES = (*GPT2_CLASSES, "PreTrainedTokenizerFast", "TokenizersBackend", None)  # the others, tokenizer.json


def check(given, table, file, strict=True):
    """Raise ValueError, naming the key, for one of `given` that must not be set so, or that is not known.

    Unless `strict`: there are keys of people's own in that file, of which transformers takes no notice.
    """
    for key, value in given.items():
        decision = table.get(key)
        if decision is None and strict:
            raise ValueError(f"{file} has a key {key!r}, and what it means is not known")
        if isinstance(decision, Kind):
            if type(value) not in decision:
                must = " or ".join(NOUNS.get(kind, "null") for kind in decision)
                raise ValueError(f"{file} has {key} {value!r:.80}, which must be {must}")
        elif isinstance(decision, tuple) and value not in decision:
            allowed = " or ".join(map(repr, decision))
            raise ValueError(f"{file} has {key} {value!r:.80}, and only {allowed} can be read")
