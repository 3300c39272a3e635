"""Tokens that are found in a text as they are, before it is cut into words: chat markers, new words.

They were added to a vocabulary after its merges were learned, and no merge makes them. Those that are
`special` control the model, <|endoftext|> for one: a text that is not trusted must not contain them, so they
are sought only where the caller allows it. Without that they are text like any other.

The rules are those of Hugging Face's tokenizers, added_vocabulary.rs.
"""

import dataclasses

import regex

LETTER = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200C\u200D]")  # what Rust's regex calls \w
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that is found as it is; the fields have tokenizers' names.

    special : it controls the model, see above
    single_word : not found where a letter, digit or _ stands right before or after it
    lstrip, rstrip : the white space before it, or after it, becomes a part of it
    normalized : sought in what those that are not have left over
    """

    content: str
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class AddedTokens:
    """Finds the added tokens of a tokenizer, {id: AddedToken}, in a text."""

    def __init__(self, by_id):
        self.by_id = by_id
        self.ids = {token.content: i for i, token in by_id.items()}
        self.passes = []  # a pattern for each time the text is gone through
        for normalized in (False, True):
            contents = [token.content for token in by_id.values() if token.normalized == normalized]
            if contents:  # the longest first: of those that begin at one place, it is found
                longest_first = sorted(contents, key=len, reverse=True)
                self.passes.append(regex.compile("|".join(map(regex.escape, longest_first))))

    def cut(self, text, allow_special):
        """Return the text as a list of pieces (str), and of ids (int) where an added token stands.

        >>> tokens = AddedTokens({7: AddedToken("<u>", special=True), 8: AddedToken("zebra", lstrip=True)})
        >>> tokens.cut("a zebra<u>b", allow_special=True), tokens.cut("a zebra<u>b", allow_special=False)
        (['a', 8, 7, 'b'], ['a', 8, '<u>b'])
        """
        pieces = [text]
        for pattern in self.passes:
            pieces = [
                found
                for piece in pieces
                for found in (self.find(piece, pattern, allow_special) if isinstance(piece, str) else [piece])
            ]
        return pieces

    def find(self, text, pattern, allow_special):
        """Do as `cut`, with the tokens of one pattern."""
        pieces, end = [], 0  # of the token before
        for match in pattern.finditer(text):
            i = self.ids[match[0]]
            token, start, stop = self.by_id[i], match.start(), match.end()
            if token.special and not allow_special:
                continue
            around = text[start - 1 : start] if start else "", text[stop : stop + 1]
            if token.single_word and any(map(LETTER.match, around)):
                continue
            if token.lstrip:
                start = max(end, end + len(text[end:start].rstrip(SPACES)))
            while token.rstrip and stop < len(text) and text[stop] in SPACES:
                stop += 1
            if start < stop:  # else the token before has taken all of it
                pieces += [text[end:start], i] if end < start else [i]
                end = stop
        return [*pieces, text[end:]] if end < len(text) else pieces
