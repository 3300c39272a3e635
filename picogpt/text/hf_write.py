"""Hugging Face's tokenizer files, written: the inverse of hf_files.py."""

import dataclasses

from picogpt.text.hf_keys import ALL_IN_ONE, CONFIG


def as_files(rules):
    """Return {name: content} of the files that say what `hf_files.Rules` hold.

    Which tokens stand before and after a text is said by bos_token and eos_token.
    """
    level = dict(type="ByteLevel", add_prefix_space=rules.prefix_space, trim_offsets=True, use_regex=True)
    tokens = {i: token for token, i in rules.numbers.items()}
    added = {i: dataclasses.asdict(token) for i, token in sorted(rules.added.items())}
    n_vocab = len(tokens)
    while n_vocab - 1 in added:  # the last ids are given to added tokens anew, in their order
        n_vocab -= 1
    vocabulary = {token: i for token, i in rules.numbers.items() if i < n_vocab}
    around = (
        [{"SpecialToken": {"id": tokens[i], "type_id": 0}} for i in rules.before],
        [{"SpecialToken": {"id": tokens[i], "type_id": 0}} for i in rules.after],
    )
    text = {"Sequence": {"id": "A", "type_id": 0}}
    used = {i: tokens[i] for i in rules.before + rules.after}
    names = {token: {"id": token, "ids": [i], "tokens": [token]} for i, token in used.items()}
    template = dict(
        type="TemplateProcessing",
        single=[*around[0], text, *around[1]],
        pair=[text, {"Sequence": {"id": "B", "type_id": 1}}],
        special_tokens=names,
    )
    cut = dict(direction="Right", max_length=rules.longest, strategy="LongestFirst", stride=0)
    whole = dict(
        version="1.0",
        truncation=None if rules.longest is None else cut,
        padding=None,
        added_tokens=[{"id": i} | token for i, token in added.items()],
        normalizer=None,
        pre_tokenizer=level,
        post_processor=template if names else None,
        decoder=level,
        model=dict(
            type="BPE",
            unk_token=None if rules.unk is None else tokens[rules.unk],
            fuse_unk=rules.fuse_unk,
            ignore_merges=rules.ignore_merges,
            vocab=vocabulary,
            merges=list(rules.merges),
        ),
    )
    gpt2 = rules.unk is None and not rules.ignore_merges
    config = dict(
        tokenizer_class="GPT2Tokenizer" if gpt2 else "PreTrainedTokenizerFast",
        add_prefix_space=rules.prefix_space,
        split_special_tokens=rules.split_special,
        bos_token=tokens.get(rules.bos),
        eos_token=tokens.get(rules.eos),
        added_tokens_decoder=added,
    )
    return {ALL_IN_ONE: whole, CONFIG: config}
