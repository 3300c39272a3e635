r"""The form of a conversation: how turns become the one text that a model continues.

A turn is [what the user said, what the model answered]; the last has no answer yet. A template is a
pattern such as "User: {user}\nBot:", a text that simply goes on, or the chat template of a model's tokenizer,
which is in the Jinja language, as Hugging Face's are.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from picogpt.system.files import read_object, read_text


@dataclass(frozen=True)
class Continuation:
    """No form at all: what is typed and what is written follow each other."""

    special: bool | None = (
        None  # whether control tokens in the text are their ids; None: as the tokenizer has it
    )
    stops: tuple = ()

    def render(self, turns):
        """Return the text of all turns."""
        return "".join(user + answer for user, answer in turns)


@dataclass(frozen=True)
class Pattern:
    r"""A form with {user} in it, which the answer follows; turns stand on lines of their own.

    >>> pattern = Pattern("User: {user}\nBot:")
    >>> pattern.render([["Hello", " Hi."], ["Who are you?", ""]])
    'User: Hello\nBot: Hi.\nUser: Who are you?\nBot:'
    >>> pattern.stops
    ('\nUser:',)
    """

    form: str
    special: bool | None = None

    def __post_init__(self):
        """Check that there is room for what the user says."""
        if self.form.count("{user}") != 1:
            raise ValueError(
                f"a template has {{user}} in it, once, as 'User: {{user}}\\nBot:' has: {self.form!r}"
            )

    def render(self, turns):
        """Return the text of all turns, up to where the last answer begins or has come to."""
        return "\n".join(self.form.replace("{user}", user) + answer for user, answer in turns)

    @property
    def stops(self):
        """The texts at which an answer ends: where the next turn would begin, if that can be told."""
        before = self.form.partition("{user}")[0].rstrip()
        return ("\n" + before,) if before else ()


class Jinja:
    """A tokenizer's own chat template."""

    special = True  # its control tokens are what it is made of

    def __init__(self, source, tokens):
        """`source` is the template; `tokens` what it may name, say eos_token."""
        try:
            from jinja2 import TemplateError
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            raise ValueError(
                'the chat template of this model needs jinja2: pip install -e ".[chat]", or give a --template'
            ) from None
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = refuse
        environment.filters["tojson"] = to_json
        try:
            self.template = environment.from_string(source)
        except (TemplateError, RecursionError) as error:
            raise ValueError(f"the chat template of this model cannot be read: {error}") from None
        self.tokens = tokens

    def render(self, turns):
        """Return the text of all turns, up to where the last answer begins."""
        messages = []
        for user, answer in turns:
            messages += [dict(role="user", content=user), dict(role="assistant", content=answer)]
        begun = messages.pop()["content"]
        return self.fill(messages, add_generation_prompt=True) + begun

    def fill(self, messages, **settings):
        """Return what the template makes of messages."""
        try:
            return self.template.render(messages=messages, **self.tokens, **settings)
        except ValueError:  # refused, see below
            raise
        except Exception as error:  # a template is a program, which may be wrong in any way
            raise ValueError(f"the chat template of this model does not take this: {error}") from None

    @property
    def stops(self):
        """The texts at which an answer ends: what the template puts after one."""
        mark = "(an answer)"
        after = self.fill([dict(role="user", content="."), dict(role="assistant", content=mark)]).split(mark)[
            -1
        ]
        stops = after.strip() or after, self.tokens.get("eos_token")
        return tuple(dict.fromkeys(stop for stop in stops if stop))


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    """Return JSON as transformers' templates have it; Jinja's own filter writes it for pages of HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def refuse(message):
    """Say why a template refuses a conversation: its raise_exception."""
    raise ValueError(message)


def own_template(folder):
    """Return the chat template in a model's folder, or None."""
    config = Path(folder, "tokenizer_config.json")
    if not config.is_file():
        return None
    try:
        settings = read_object(config)
    except (ValueError, TypeError):
        raise ValueError(f"{config} is no JSON object: copy it again") from None
    source = settings.get("chat_template")
    beside = Path(folder, "chat_template.jinja")
    if beside.is_file():
        source = read_text(beside)
    if isinstance(source, list):  # several, each under a name
        named = [one for one in source if isinstance(one, dict)]
        source = next((one.get("template") for one in named if one.get("name") == "default"), None)
    if not isinstance(source, str | None):
        raise ValueError(f"{config} has a chat_template that is no text: give a --template")
    tokens = {name: settings.get(name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    tokens = {name: t.get("content") if isinstance(t, dict) else t for name, t in tokens.items()}
    tokens = {name: t for name, t in tokens.items() if t and isinstance(t, str)}
    return Jinja(source, tokens) if source else None
