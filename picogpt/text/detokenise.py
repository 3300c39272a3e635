"""Undo how WikiText and the Penn Treebank were cut into words, as is usual before GPT-2 reads them.

Their files have spaces around every sign: "the 1 @,@ 000 stars ( of night ) ." GPT-2 has seen few such texts,
so its paper reports perplexities of texts made natural again, divided by the tokens that the files have.
OpenAI did not publish its rules. These are those of NVIDIA's Megatron-LM (tasks/zeroshot_gpt); WikiText's are
also those of EleutherAI's lm-evaluation-harness. Each rule works on what those before it have left.

>>> detokenise(" = Stars = \\n The 1 @,@ 000 \\" stars \\" ( of night ) .\\n", "wikitext")
' = Stars =\\nThe 1,000 "stars" (of night) .\\n'
"""

import re

WIKITEXT = [
    ("s '", "s'"),
    *((f" @{sign}@ ", sign) for sign in "-,."),
    *((f" {sign} ", f"{sign} ") for sign in ":;.!?,"),
    *((re.compile(rf"\{a}\s*([^{b}]*?)\s*\{b}"), rf"{a}\1{b}") for a, b in ("()", "[]", "{}")),
    *((re.compile(rf"{quote}\s*([^{quote}]*?)\s*{quote}"), rf"{quote}\1{quote}") for quote in "\"'"),
    *((" ".join("=" * n), "=" * n) for n in (4, 3, 2)),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
]
PTB = [
    (" '", "'"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" n't", "n't"),
    (" N ", "1 "),
    ("$ 1", "$1"),
    ("# 1", "#1"),
]
RULES = dict(none=[], wikitext=WIKITEXT, ptb=PTB)


def detokenise(text, name):
    """Return a text after the rules of that name: "wikitext", "ptb" or "none"."""
    for old, new in RULES[name]:
        text = old.sub(new, text) if isinstance(old, re.Pattern) else text.replace(old, new)
    return text
