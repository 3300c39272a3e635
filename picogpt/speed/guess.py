"""Guess the next tokens, so that the model can check several in one call: speculative decoding.

A step of generation takes about as long as reading all weights from memory. A call on eight tokens reads them
once too, and takes the time of two to three steps. So guesses save time if enough of them are right. The text
does not change: `Speculation` returns the logits after each token as always, and a guess is accepted only if
it is the token that is then chosen from them (Leviathan et al. 2023; no rejection sampling is needed, as a
guess here is one token and not a distribution).
"""

from picogpt.gpt2 import KVCache, gpt2
from picogpt.speed import compiled

N_GUESS = 7  # tokens to guess: with the one that is certain 8 in a call, and calls on fewer take as long
MORE = 15  # the same after a call whose guesses all came true
PAYS = 2  # right guesses that make up for the longer time of a call
PAYS_COMPILED = 4  # the same with compiled products: one token takes less time there, 8 save less, 16 nothing


class Speculation:
    """The logits of one next token after another, from calls that run guesses behind the newest token."""

    def __init__(self, params, n_head, guesser):
        """Begin a text whose next tokens `guesser` guesses."""
        self.params, self.n_head, self.guesser = params, n_head, guesser
        self.guesses, self.n_right = [], 0  # of the last call, and how many of them have been chosen since

    def next_logits(self, row, cache):
        """Return gpt2([row[-1:]], params, n_head, cache)[:, -1], the logits [1, V] after the newest token.

        If the last call guessed that token, it has these logits already, and its keys and values too.
        """
        if self.n_right < len(self.guesses) and row[-1] == self.guesses[self.n_right]:
            self.n_right += 1
        else:
            self.end(cache)
            room = cache.kv.shape[-2] - cache.length - 1
            self.guesses = self.guesser.guess(row)[:room]
            self.logits = gpt2(
                [row[-1:] + self.guesses], self.params, self.n_head, cache
            )  # [1, 1 + guesses, V]
        return self.logits[:, self.n_right]

    def end(self, cache):
        """Tell the guesser how many of its last guesses were right, and let the cache forget the others."""
        if self.guesses:
            self.guesser.learn(len(self.guesses), self.n_right)
            cache.length -= len(self.guesses) - self.n_right
        self.guesses, self.n_right = [], 0


class Guesser:
    """What all guessers share: they count what came of their guesses."""

    def __init__(self):
        """Begin a text."""
        self.guessed = self.right = self.calls = 0  # tokens, tokens, calls with guesses in them
        self.n_guess = N_GUESS

    def learn(self, n_guessed, n_right):
        """Count what came of a call with guesses."""
        self.guessed += n_guessed
        self.right += n_right
        self.calls += 1
        self.n_guess = MORE if n_right == n_guessed and not compiled.in_use() else N_GUESS


class Lookup(Guesser):
    """Prompt lookup: guess that a text goes on as it did where its newest tokens stood before.

    One object serves one text. After a call whose guesses did not save time, three times as many tokens must
    match before the next guess, until a call has saved twice its cost. So in a text that repeats itself only
    by chance, guessing soon stops.
    """

    def __init__(self, n_match=4):
        """Guess as soon as the newest `n_match` tokens have been there before."""
        super().__init__()
        self.n_match = self.needed = n_match
        self.ends, self.n_known = {}, 0  # where each run of n_match tokens last ended, up to n_known

    def guess(self, row):
        """Return `n_guess` ids that may follow the list of ids `row`; [] if there is no match."""
        n = self.n_match
        if len(row) < self.n_known:  # its beginning was cut off
            self.ends, self.n_known = {}, 0
        for end in range(max(self.n_known, n), len(row)):
            self.ends[tuple(row[end - n : end])] = end
        self.n_known = len(row)
        begin = self.ends.get(tuple(row[-n:]), 0)
        if begin < self.needed or row[begin - self.needed : begin] != row[-self.needed :]:
            return []
        period = len(row) - begin  # a text that has repeated itself may go on repeating
        return [row[begin + i % period] for i in range(self.n_guess)]

    def learn(self, n_guessed, n_right):
        """Count, and be more careful after guesses that did not pay."""
        super().learn(n_guessed, n_right)
        pays = PAYS_COMPILED if compiled.in_use() else PAYS
        if n_right < min(pays, n_guessed):
            self.needed *= 3
        elif n_right >= min(2 * pays, N_GUESS):
            self.needed = self.n_match


class DraftModel(Guesser):
    """Guess what a smaller model of the same vocabulary finds likeliest."""

    def __init__(self, params, n_head):
        """Take the smaller model."""
        super().__init__()
        self.params, self.n_head, self.row = params, n_head, []
        self.cache = KVCache(params, n_head)

    def guess(self, row):
        """Return `n_guess` ids; [] where the text is too long for the smaller model."""
        if len(row) + self.n_guess > len(self.params["wpe"]):
            return []
        same = next((i for i, (a, b) in enumerate(zip(row, self.row, strict=False)) if a != b), len(self.row))
        self.cache.length = min(same, self.cache.length, len(row) - 1)  # the rest was guessed wrongly
        self.row = list(row)
        for _ in range(self.n_guess):
            new = [self.row[self.cache.length :]]
            logits = gpt2(new, self.params, self.n_head, self.cache, n_last=1)
            self.row.append(int(logits[0, -1].argmax()))
        return self.row[len(row) :]
