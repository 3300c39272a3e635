"""Learn a byte-pair encoding from a text: which neighbours become one token, and in which order.

At first every word is a row of bytes. The pair of neighbours that occurs most often becomes a token,
wherever it stands; then the pair that occurs most often among what there is now; and so on. Of pairs that
occur equally often, the one with the smaller left id comes first, then the one with the smaller right id,
as in Hugging Face's tokenizers. So the merges follow from the text alone.

>>> encoder = train("low low low lower lowest", n_vocab=260)
>>> [encoder.decode([i]) for i in encoder.encode("slow, slower")]
['s', 'low', ',', ' ', 's', 'low', 'e', 'r']
>>> encoder.merges
{(75, 78): 256, (256, 86): 257, (220, 257): 258}

What makes it quick is that little is counted twice. A word that occurs a thousand times is one row of
tokens and the number 1000: 20 MB of tales have 4.6 million words, but 43,460 different ones. And a merge
changes few of these: `where` knows which, and only their pairs are counted again. The method is that of
Sennrich, Haddow & Birch 2016, arXiv:1508.07909; words are GPT-2's, see bpe.py.
"""

import heapq
from collections import Counter, defaultdict
from itertools import pairwise

import regex

from picogpt.text.bpe import EOT, WORD, Encoder, byte_symbols


def train(text, n_vocab):
    """Return the tokenizer of n_vocab tokens: 256 bytes, n_vocab - 257 merges learned, <|endoftext|>.

    An <|endoftext|> in the text stands between documents and belongs to no word. ValueError if the text has
    too few pairs for so many tokens. The Encoder's `save` writes what `bpe.load_encoder` reads.
    """
    if n_vocab < 257:
        raise ValueError(f"n_vocab must be at least 257, the bytes and {EOT}, not {n_vocab}")
    tokens = list(byte_symbols().values())
    merges = []
    for a, b in learn(count_words(text), n_vocab - 257):
        merges.append((tokens[a], tokens[b]))
        tokens.append(tokens[a] + tokens[b])
    return Encoder(merges)


def count_words(text):
    """Return {word: how often it occurs}."""
    words, counts = regex.compile(WORD, regex.VERSION1), Counter()
    for document in text.split(EOT):
        counts.update(match[0] for match in words.finditer(document))
    return counts


def learn(counts, n):
    """Return the first n merges, as pairs of ids, for {word: how often it occurs}.

    The heap holds (-how often, pair) for every pair. Once a pair is there it only becomes rarer, since each
    pair that a merge makes contains the new token. So what the heap says of a pair is what is true or too
    much: when it comes to the top, it is merged in the one case and put back corrected in the other.
    """
    byte_ids = {byte: i for i, byte in enumerate(byte_symbols())}
    words = [[byte_ids[byte] for byte in word.encode("utf-8")] for word in counts]
    times, pairs, where = list(counts.values()), Counter(), defaultdict(set)
    for w, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += times[w]
            where[pair].add(w)
    heap, merges = [(-number, pair) for pair, number in pairs.items()], []
    heapq.heapify(heap)
    while len(merges) < n:
        if not heap:
            most = len(byte_ids) + len(merges) + 1
            raise ValueError(f"the text makes no more than {most} tokens: give a smaller n_vocab")
        number, pair = heapq.heappop(heap)
        if -number != pairs[pair]:
            if pairs[pair]:
                heapq.heappush(heap, (-pairs[pair], pair))
            continue
        new, made = len(byte_ids) + len(merges), set()
        merges.append(pair)
        for w in where.pop(pair):
            for old in pairwise(words[w]):
                pairs[old] -= times[w]
            words[w] = join(words[w], pair, new)
            for now in pairwise(words[w]):
                pairs[now] += times[w]
                if new in now:
                    made.add(now)
                    where[now].add(w)
        for pair in made:
            heapq.heappush(heap, (-pairs[pair], pair))
    return merges


def join(word, pair, new):
    """Return the ids of `word` with each `pair` of neighbours replaced by `new`, from the left on.

    >>> join([7, 7, 7, 8, 7], (7, 7), 9)
    [9, 7, 8, 7]
    """
    joined, i = [], 0
    while i < len(word):
        fits = word[i] == pair[0] and i + 1 < len(word) and word[i + 1] == pair[1]
        joined.append(new if fits else word[i])
        i += 1 + fits
    return joined
