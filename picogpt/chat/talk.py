r"""A conversation: turns that a model continues, of which the oldest leave when the context is full.

>>> import picogpt
>>> chat = picogpt.load("tales").chat("'{user}' said the boy.\n'", n=8)
>>> answer = "".join(chat.say("Where is the king?"))
>>> [user for user, answer in chat.turns]
['Where is the king?']
"""

from pathlib import Path

from picogpt.chat.templates import Continuation, Pattern, own_template
from picogpt.checkpoints import weights
from picogpt.generate import Choice

CHOICE = dict(
    temperature=float, top_k=int, top_p=float, top_p_rule=str, seed=int, min_p=float, typical_p=float,
    repetition_penalty=float, no_repeat_ngram_size=int,
)  # fmt: skip


class Chat:
    """The turns so far, and the settings of the next answer, which may be changed at any time."""

    def __init__(self, model, template=None, n=200, **choice):
        """`model` is a `model.Model`; n: most tokens of an answer; choice: see `generate.Choice`."""
        self.model, self.template, self.turns = model, template or Continuation(), []
        self.n, self.choice, self.ends = n, {}, model.ends
        if template is not None and model.encoder.eot is not None:  # an answer is a document, or ends one
            self.ends = (*model.ends, model.encoder.eot)
        self.set(**choice)

    def say(self, user):
        """Yield the answer piece by piece; what there is of it is remembered, even if the reader stops."""
        self.turns.append([user, ""])
        try:
            ids = self.ids(self.n)
        except ValueError:
            self.turns.pop()
            raise
        for piece in self.model.stream_ids(ids, self.n, self.template.stops, self.ends, **self.choice):
            self.turns[-1][1] += piece
            yield piece

    def ids(self, room=0):
        """Return the ids of the text so far, with room for so many new ones; the oldest turns leave for it.

        A single turn may use the whole context: its answer goes on from the newest half, see `generate`.
        ValueError if it alone is longer.
        """
        n_ctx = self.model.hparams["n_ctx"]
        while True:
            ids = self.encode(self.template.render(self.turns))
            if len(ids) + room <= n_ctx or len(self.turns) <= 1:
                break
            del self.turns[0]
        if len(ids) > n_ctx:
            raise ValueError(f"this has {len(ids)} tokens, and the model's context {n_ctx}: say less at once")
        return ids

    def encode(self, text):
        """Return the ids of a text in the template's form."""
        encoder = self.model.encoder
        return encoder.encode(text, self.template.special) or [encoder.start]

    def set(self, **settings):
        """Change n or a setting of the choice; None takes it back. ValueError for what cannot be."""
        n = settings.pop("n", self.n)
        if not isinstance(n, int) or n < 0:
            raise ValueError(f"n must be a whole number, at least 0, not {n}")
        choice = {name: value for name, value in (self.choice | settings).items() if value is not None}
        if unknown := choice.keys() - CHOICE.keys():
            raise ValueError(f"{unknown.pop()} is no setting; there are n, {', '.join(CHOICE)}")
        Choice(**choice)  # checks the values
        self.n, self.choice = n, {name: choice[name] for name in CHOICE if name in choice}

    def reset(self):
        """Forget all turns."""
        self.turns.clear()


def choose_template(model, pattern=None):
    """Return the form of a conversation: the pattern that is given, else the model's own.

    ValueError if there is neither.
    """
    if pattern:
        return Pattern(pattern)
    folder = weights.find(model.name, offline=True)
    if own := own_template(folder):
        return own
    raise ValueError(
        f"{Path(model.name).name} has no chat template of its own: give one with --template, such as"
        " 'User: {user}\\nBot:'"
    )
