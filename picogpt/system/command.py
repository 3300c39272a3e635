"""From a function with keyword arguments to a command: its flags, its help, its errors in one line.

The parameters before `*` in the function's signature may be given by place, all of them as flags. The types
say how to read them, what is allowed, and what the help says: see signature.py. The help is the docstring
of the function's module, with the flags in place of {flags}.

python-fire makes the call from the flags. Left alone it would evaluate texts as Python and guess at flags
that do not exist. So the words are checked here first and written out as --flag=value, and fire is told how
to read each.
"""

import difflib
import functools
import importlib.util
import inspect
import json
import logging
import sys
import types
import warnings

import picogpt
from picogpt.system import interrupt, terminal
from picogpt.system.files import read_json
from picogpt.system.signature import REQUIRED, help_lines, parameters, settings_of

log = logging.getLogger("picogpt")
LONGEST = 1000  # characters of an error


def run(function, argv=None, aliases=None, name="picogpt", config=None):
    """Call `function` with the flags in `argv` and end the program.

    `aliases` maps short names to parameters; `config`: see `read_flags`. Exit codes: 0 done, or the
    reader of the output is gone; 1 an error at run time; 2 wrong usage; 130 interrupted, 143 by SIGTERM.
    stderr gets errors as "name: sentence".
    """
    with interrupt.handled(), terminal.streams():
        handler = logging.StreamHandler()
        handler.setFormatter(terminal.Formatter(f"{name}: %(message)s"))
        logging.basicConfig(handlers=[handler], force=True)
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's: what NaN leads to is an error
        sys.exit(code_of(function, argv, aliases or {}, config))


def code_of(function, argv, aliases, config):
    """Call `function` with the flags in `argv`; say what goes wrong, and return the exit code."""
    try:
        flags = read_flags(function, sys.argv[1:] if argv is None else argv, aliases, config)
        known, settings = parameters(function), settings_of(function)

        def call(**values):
            function(settings(**values)) if settings else function(**values)

        readers = {name: functools.partial(parse, known[name]) for name in flags}
        fire = import_fire()
        fire.decorators.SetParseFns(**readers)(call)
        fire.Fire(call, command=[f"--{name}={text}" for name, text in flags.items()])
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.discard(sys.stdout)
    except KeyboardInterrupt as error:
        log.error("%s", str(error) or "interrupted")
        return getattr(error, "code", 130)
    except (ValueError, OSError, ArithmeticError, MemoryError, RecursionError, NotImplementedError) as error:
        log.error(sentence(error))  # the last: of the exercises
        terminal.discard(sys.stdout)
        return 1
    return 0


def import_fire():
    """Return python-fire, imported without the asyncio that it asks whether a function is a coroutine.

    Importing that takes as long as all of fire, five times over, and every command would wait for it. For
    whatever else fire may want of it, it is imported then.
    """

    class Asyncio(types.ModuleType):
        iscoroutinefunction = staticmethod(inspect.iscoroutinefunction)

        def __getattr__(self, name):
            return getattr(importlib.import_module("asyncio"), name)

    known = sys.modules.setdefault("asyncio", Asyncio("asyncio"))
    import fire

    if type(known) is Asyncio:
        del sys.modules["asyncio"]
    return fire


def sentence(error):
    """Return what an error says, without the system's number for it, which means nothing to most.

    It is one line, whatever a file's names or text may be that it quotes, and of a length to be read.
    """
    said = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        said = "there is not enough memory"
    elif isinstance(error, ArithmeticError):
        said = f"a number is too large or too small ({error})"
    elif isinstance(error, OSError) and error.strerror:
        said = f"{error.filename or 'stdout or stderr'}: {error.strerror}"
    return terminal.one_line(shortened(said))


def shortened(said):
    """Return a sentence without the middle of one that is very long."""
    return said if len(said) <= LONGEST else f"{said[: LONGEST // 2]} ... {said[-LONGEST // 2 :]}"


def usage_error(message):
    """Say what is wrong with the flags, and end the program with code 2."""
    log.error("%s (--help shows all flags)", shortened(message))
    sys.exit(2)


def needs(package, extra):
    """Raise ValueError, which says how to install it, unless Python finds a package."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(f'this needs {package}, which is not installed: pip install -e ".[{extra}]"')


def check(function, values):
    """End the program, naming the flag, if one of the `values` of a command is not allowed.

    `values` are {parameter: value}, or the dataclass of them; None is allowed, it means not given.
    """
    values = values if isinstance(values, dict) else vars(values)
    for name, flag in parameters(function).items():
        value = values.get(name)
        if value is not None and flag.allowed is not None and value not in flag.allowed:
            usage_error(f"--{name} must be {flag.allowed}, not {value}")


def page(function, aliases=()):
    """Return the help of a command."""
    doc = inspect.getdoc(inspect.getmodule(function))
    return doc.replace("{flags}", "\n".join(help_lines(function, aliases)))


def read_flags(function, argv, aliases, config=None):
    """Return {parameter: its value as a string} for the words of a command line; a list's as JSON.

    A flag's value stands after = or in the next word, whatever that word is. After `--` all words are
    taken by place. config({parameter: value}) -> a JSON file of flags that hold where the words give none,
    or None; or the arguments of `read_config` for such a file.
    """
    known, words, given, places = parameters(function), list(argv), {}, []
    while words:
        word = words.pop(0)
        if word == "--":
            places += words
            break
        if word in ("-h", "--help"):
            print(page(function, aliases))
            sys.exit(0)
        if word == "--version":
            print(f"picogpt {picogpt.__version__}")
            sys.exit(0)
        if not word.startswith("-") or word == "-":
            places.append(word)
            continue
        flag, has_value, value = word.partition("=")
        name = flag_parameter(flag, known, aliases)
        if not has_value and known[name].is_switch:
            value = "true"
        elif not has_value:
            value = words.pop(0) if words else usage_error(f"{flag} needs a value")
        give(given, name, value, known)
    by_place = [name for name, flag in known.items() if flag.by_place]
    if len(places) > len(by_place):
        usage_error(f"unexpected {places[len(by_place)]!r}; put quotes around a text of several words")
    for name, value in zip(by_place, places, strict=False):
        give(given, name, value, known)
    if config and (file := config(given)):
        given = read_config(*(file if isinstance(file, tuple) else (file,)), known=known) | given
    for name, flag in known.items():
        if flag.default is REQUIRED and name not in given:
            usage_error(f"{name.upper()} is missing")
    return given


def flag_parameter(flag, known, aliases):
    """Return the parameter that a word such as --top-k means."""
    name = flag.lstrip("-").replace("-", "_")
    name = aliases.get(name, name)
    if name not in known:
        near = difflib.get_close_matches(name, [*known, *aliases, "help"], n=1)
        hint = f"did you mean --{near[0]}?" if near else "a text that begins with - goes after --"
        usage_error(f"there is no flag {flag}; {hint}")
    return name


def give(given, name, value, known):
    """Note one value of one parameter."""
    if known[name].kind is list:
        given[name] = json.dumps([*json.loads(given.get(name, "[]")), value])
    elif name in given:
        usage_error(f"--{name} is given twice")
    else:
        given[name] = value


def read_config(path, never=(), module=None, passed_over=(), *, known):
    """Return the flags in a JSON file as `read_flags` returns those of a command line.

    None may be in `never`; those in `passed_over` are not taken from there. The file may say of which command
    it is, and then that must be `module`.
    """
    try:
        flags = read_json(path)
        of = str(flags.pop("command", module))
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in flags.items()
            if name not in passed_over
        }
    except FileNotFoundError:
        raise
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f'{path} does not hold flags as JSON, such as {{"lr": 0.001}}') from None
    if module and of != module:
        raise ValueError(f"{path} was written by {of}, not by {module}: that goes on with it")
    for name in texts:
        if name not in known:
            raise ValueError(f"{path} gives a value to {name}, which is no flag (--help shows all)")
        if name in never:
            raise ValueError(f"{path} gives a value to {name}, which only the command line may: delete it")
    return texts


def parse(flag, text):
    """Return the value that the text of a flag stands for, or end the program."""
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    try:
        if flag.kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return json.loads(text) if flag.kind is list else flag.kind(text)
    except (ValueError, KeyError):
        return usage_error(f"--{flag.name} takes {kinds[flag.kind]}, not {text!r}")
