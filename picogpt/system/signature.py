"""What the signature of a command says of its flags: type, default, what is allowed, what they mean.

    def adder(*, n_digit: Annotated[int, Range(1, below=4), "digits of each number"] = 2):

A type may be Annotated with

- a Range or a OneOf: the allowed values
- a text in capitals: what the help calls the value; else N, X, NAME or BOOL, by the type
- another text: the meaning, for the help. The default follows in parentheses, or stands in place of a {}
- a Section: the heading that begins in the help with this flag
- a Usual: what the default comes to, where that says more, as None, or less, as a long path
- FREE: a training may resume with another value: the result is the same
- CALL: it is about this call alone, not about the training; so it is not in settings.json either

Of several of a kind the last one counts: Annotated[Seed, "of the palette"] is a Seed with another meaning. A
command whose only parameter is a dataclass has the dataclass's fields as flags, its own ones first; a field
that is not Annotated is no flag.
"""

import dataclasses
import inspect
import math
import textwrap
import types
import typing

REQUIRED = inspect.Parameter.empty
FREE, CALL = object(), object()
WIDTH, COLUMN = 108, 22  # of the help, and where the meanings begin


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `least` on, or greater than `above`, and less than `below`; NaN is none of them."""

    least: float = -math.inf
    below: float = math.inf
    above: float = -math.inf

    def __contains__(self, value):
        return self.least <= value < self.below and value > self.above

    def __str__(self):
        begin = f"at least {self.least}" if self.least > -math.inf else f"more than {self.above}"
        if self.below == math.inf:
            return f"{begin} and finite"
        power = round(math.log2(self.below))
        return f"{begin} and less than {f'2**{power}' if power > 10 else self.below}"


class OneOf(tuple):
    """A few names."""

    def __new__(cls, *names):
        return super().__new__(cls, names)

    def __str__(self):
        return " or ".join(self)


class Section(str):
    """A heading in the help."""


@dataclasses.dataclass(frozen=True)
class Usual:
    """What a flag that is not given comes to."""

    value: object


@dataclasses.dataclass
class Flag:
    """One flag of a command."""

    name: str
    kind: type
    default: object
    by_place: bool
    notes: list  # what the type is annotated with

    def note(self, kind, usual=None):
        """Return the last note of a kind."""
        return next((note for note in reversed(self.notes) if type(note) is kind), usual)

    @property
    def allowed(self):
        """The Range or the OneOf, or None for anything."""
        return self.note(Range) or self.note(OneOf)

    @property
    def usual(self):
        """What the flag is if it is not given."""
        return self.note(Usual, Usual(self.default)).value

    @property
    def is_switch(self):
        """Whether the flag alone, without a value, means true."""
        return self.kind is bool and self.default is False

    @property
    def placeholder(self):
        """What the help calls the value."""
        named = [note for note in self.notes if type(note) is str and note.isupper()]
        return named[-1] if named else {int: "N", float: "X", bool: "BOOL"}.get(self.kind, "NAME")

    @property
    def meaning(self):
        """What the help says, with the default."""
        texts = [note for note in self.notes if type(note) is str and not note.isupper()]
        text, value = texts[-1] if texts else "", self.usual
        if isinstance(value, bool):
            value = "" if self.is_switch else str(value).lower()
        elif isinstance(value, float):
            value = f"{value:g}"
        if "{}" in text:
            return text.replace("{}", str(value))
        return text if value in (None, "", (), REQUIRED) else f"{text} ({value})".lstrip()


def parameters(command):
    """Return {name: Flag} of a command: a function of keyword arguments, or of a dataclass of settings."""
    settings = settings_of(command)
    found = inspect.signature(settings or command).parameters
    if settings:
        names = [name for part in settings.__mro__ for name in inspect.get_annotations(part)]
        found = {
            name: found[name] for name in names if name in found and type_and_notes(found[name].annotation)[1]
        }
    return {
        name: Flag(name, kind, p.default, p.kind is p.POSITIONAL_OR_KEYWORD, notes)
        for name, p in found.items()
        for kind, notes in [type_and_notes(p.annotation)]
    }


def settings_of(command):
    """Return the dataclass that a command takes, or is; None for a function with keyword arguments."""
    if dataclasses.is_dataclass(command):
        return command
    kinds = [p.annotation for p in inspect.signature(command).parameters.values()]
    return kinds[0] if len(kinds) == 1 and dataclasses.is_dataclass(kinds[0]) else None


def type_and_notes(annotation):
    """Return the type, and what it is annotated with: int and the notes of Annotated[int, ...] | None.

    >>> type_and_notes(typing.Annotated[int, "steps"] | None)
    (<class 'int'>, ['steps'])
    """
    if typing.get_origin(annotation) is typing.Annotated:
        kind, notes = type_and_notes(annotation.__origin__)
        return kind, [*notes, *annotation.__metadata__]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return type_and_notes(typing.get_args(annotation)[0])
    return annotation, []


def names_of(command, *notes):
    """Return the names of the flags that have one of the notes, FREE or CALL."""
    return {name for name, flag in parameters(command).items() if any(note in flag.notes for note in notes)}


def help_lines(command, aliases=()):
    """Yield the lines of the help on the flags of a command; `aliases` are {another name: parameter}."""
    for name, flag in parameters(command).items():
        if (section := flag.note(Section)) is not None:
            yield ""
            if section:
                yield f" {section}"
        names = [f"-{alias}" for alias, of in dict(aliases).items() if of == name and len(alias) == 1]
        spelling = name.upper() if flag.by_place else ", ".join([*names, f"--{name}"])
        if not flag.by_place and not flag.is_switch:
            spelling += f" {flag.placeholder}"
        begin = f"  {spelling}"
        if len(begin) > COLUMN - 2:
            yield begin
            begin = ""
        yield textwrap.fill(
            flag.meaning, WIDTH, initial_indent=begin.ljust(COLUMN), subsequent_indent=" " * COLUMN,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
