"""The command line as its users meet it: `python -m picogpt PROMPT`."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt import cli
from picogpt.checkpoints import weights
from picogpt.choose.beams import beam_search
from picogpt.generate import Choice, generate, stream
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.system import command
from picogpt.system.terminal import harmless
from picogpt.text.bpe import load_encoder
from picogpt.text.stop import until
from picogpt.train import cli as train

pty = pytest.importorskip("pty", reason="these tests need a terminal as Unix has them")

REPOSITORY = Path(__file__).parents[2]
HPARAMS = dict(n_vocab=300, n_ctx=64, n_embd=12, n_head=3, n_layer=2)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(REPOSITORY / "models" / "gpt2-bpe", HPARAMS["n_vocab"])


@pytest.fixture(scope="module")
def params():
    return tree_map(lambda w: w * 20, init_params(HPARAMS, np.random.default_rng(0)))


@pytest.fixture
def picogpt(folder, call_command):
    """Run the command in this process on the small model; return its exit code and what it wrote."""

    def run(*argv, stdin=b"", model=folder):
        argv = [f"--model={model}", *argv] if model else argv
        return call_command(cli.continue_text, *argv, stdin=stdin, aliases=cli.ALIASES)

    return run


@pytest.fixture
def expected(params, encoder):
    """Return what the command should write: the text that the library generates, and a newline."""

    def text(prompt, n, stop=(), **choice):
        [ids] = generate(
            params, HPARAMS["n_head"], [encoder.encode(prompt) or [encoder.eot]], n, Choice(**choice)
        )
        return "".join(until([encoder.decode(ids)], stop)) + "\n"

    return text


# What it writes


def test_a_pipe_gets_the_new_text_and_a_newline(picogpt, expected):
    done = picogpt("Once upon a time", "--n", "12")
    assert (done.code, done.out, done.err) == (0, expected("Once upon a time", 12), "")


def test_forty_tokens_are_the_default(picogpt, expected):
    assert picogpt("Once").out == expected("Once", 40)


def test_the_tutorials_arguments_work(picogpt, expected, folder, monkeypatch):
    monkeypatch.chdir(Path(folder).parent)
    name = Path(folder).name
    tutorial = ["Alan", "--n_tokens_to_generate", "8", "--model_size", name, "--models_dir", "models"]
    assert picogpt(*tutorial, model=None).out == expected("Alan", 8)


@pytest.mark.parametrize(
    "prompt",
    [
        "2",
        "1e3",
        "None",
        "[1, 2]",
        "Hello, world",
        "foo # bar",
        "{x: 1}",
        "a=b",
        "'quoted'",
        "run",
        "é 🤗",
        " a ",
    ],
)
def test_a_prompt_arrives_as_typed(picogpt, expected, prompt):
    assert picogpt(prompt, "--n", "5").out == expected(prompt, 5)
    assert picogpt("--prompt", prompt, "--n=5").out == expected(prompt, 5)


@pytest.mark.parametrize("prompt", ["--help me", "--n", "-h", "-", "--", "-5"])
def test_a_prompt_may_look_like_a_flag(picogpt, expected, prompt):
    assert picogpt(f"--prompt={prompt}", "--n=5", stdin=b"").out == expected(
        "" if prompt == "-" else prompt, 5
    )


def test_after_two_dashes_every_word_is_a_prompt(picogpt, expected, folder):
    assert picogpt("--n=5", "--model", folder, "--", "--help me", model=None).out == expected("--help me", 5)


@pytest.mark.parametrize("words", [["-"], []])
def test_the_prompt_may_come_from_a_pipe(picogpt, expected, words):
    assert picogpt(*words, "--n", "5", stdin="é two\nlines\n".encode()).out == expected("é two\nlines", 5)


def test_an_empty_prompt_begins_a_new_text(picogpt, expected):
    assert picogpt("", "--n", "5").out == expected("", 5)


def test_sampling_flags_alone_mean_temperature_one(picogpt, expected):
    assert picogpt("a", "--seed", "3").out == expected("a", 40, temperature=1.0, seed=3)
    assert picogpt("a", "--top_k", "1").out == expected("a", 40)
    chosen = dict(temperature=0.7, top_k=5, top_p=0.9, top_p_rule="hf", seed=1)
    flags = ["--temperature=0.7", "--top-k=5", "--top_p=0.9", "--top_p_rule=hf", "--seed=1"]
    assert picogpt("a", *flags).out == expected("a", 40, **chosen)


def test_no_tokens_are_an_empty_line(picogpt):
    done = picogpt("a", "--n", "0")
    assert (done.code, done.out, done.err) == (0, "\n", "")


def test_top_k_beyond_the_vocabulary_is_all_of_it(picogpt, expected):
    flags = ["--top_k", "99999999999999999999", "--seed", "1"]
    assert picogpt("a", *flags).out == expected("a", 40, temperature=1.0, seed=1)


@pytest.mark.parametrize(
    ("stdin", "prompt"),
    [
        (b"two\r\n", "two"),
        (b"two\n", "two"),
        (b"two\r", "two"),
        (b"two", "two"),
        (b"one\r\ntwo\n\n", "one\r\ntwo\n"),
        (b"\n", ""),
        (b"", ""),
        (b"\xef\xbb\xbftwo\n", "two"),
    ],
)
def test_the_line_end_of_stdin_is_no_part_of_the_prompt(stdin, prompt, monkeypatch):
    for word in (None, "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        assert cli.read_prompt(word) == prompt
    assert cli.read_prompt("two\r\n") == "two\r\n"  # a word is what it is


def test_text_ends_before_the_first_stop(picogpt, expected):
    whole = expected("Once", 40)
    stops = [whole[20:23], whole[10:12]]
    done = picogpt("Once", "--stop", stops[0], f"--stop={stops[1]}")
    assert done.out == expected("Once", 40, stop=stops) != whole


def test_several_samples_differ_and_the_first_is_the_one_alone(picogpt, expected):
    done = picogpt("a", "--n_samples", "3", "--seed", "3", "--n", "8")
    assert done.out.startswith(expected("a", 8, temperature=1.0, seed=3))
    assert re.findall("--- sample . of 3", done.err) == [f"--- sample {i} of 3" for i in (1, 2, 3)]
    assert "alike" in picogpt("a", "--n_samples", "2", "--n", "2").err


def test_the_cache_changes_nothing(picogpt):
    assert picogpt("Once", "--no_cache").out == picogpt("Once").out


def test_guesses_and_threads_change_nothing(picogpt, folder, keep_threads):
    plain = picogpt("Once", "--n", "100", "--no_lookup").out
    for flags in ([], ["--draft", folder], ["--threads", "1"], ["--draft", folder, "--temperature", "0"]):
        assert picogpt("Once", "--n", "100", *flags).out == plain


def test_right_guesses_are_counted(picogpt, folder):
    done = picogpt("Once", "--n", "40", "-v", "--draft", folder)
    right, guessed = map(int, re.search(r"(\d+) of (\d+) guessed tokens were right", done.err).groups())
    assert 20 < right <= guessed


def test_a_full_context_is_said_once(picogpt, expected):
    done = picogpt("Once", "--n", "150")
    assert done.out == expected("Once", 150)
    assert done.err.count("context of 64 tokens is full") == 1


def test_statistics_go_to_stderr(picogpt, expected):
    done = picogpt("Once", "-v")
    assert done.out == expected("Once", 40)
    assert re.search(
        r"loaded in .* s; prompt: \d+ tokens, .* tokens/s; text: .* tokens/s; .*peak memory", done.err
    )


def test_without_a_model_the_bundled_one_tells_and_says_how_to_get_gpt2(
    picogpt, folder, monkeypatch, tmp_path
):
    monkeypatch.setattr(weights, "shipped", lambda name: Path(folder))
    done = picogpt("Once", "--models_dir", str(tmp_path), model=None)
    assert done.code == 0
    assert "--model 124M fetches OpenAI's GPT-2" in done.err
    assert done.out == picogpt("Once").out


@pytest.mark.parametrize("name", ["124M", "gpt2"])
def test_without_a_model_124M_is_taken_if_it_is_there(picogpt, monkeypatch, tmp_path, params, encoder, name):
    weights.save(tmp_path / name, params, HPARAMS, encoder)
    monkeypatch.setattr(weights, "shipped", None)
    done = picogpt("Once", "--models_dir", str(tmp_path), model=None)
    assert (done.code, done.err) == (0, "")


# What it refuses


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["a", "--temprature", "1"], "no flag --temprature; did you mean --temperature?"),
        (["a", "-5"], "no flag -5"),
        (["a", "--n"], "--n needs a value"),
        (["a", "--n", "many"], "--n takes a whole number, not 'many'"),
        (["a", "--n", "-1"], "--n must be at least 0 and less than 2**63, not -1"),
        (["a", "--n", "99999999999999999999"], "--n must be at least 0 and less than 2**63"),
        (["a", "--stop", "\udcff"], "--stop must be UTF-8 text"),
        (["a", "--helps"], "no flag --helps; did you mean --help?"),
        (["a", "--n", "1", "--n_tokens_to_generate", "2"], "--n is given twice"),
        (["Once", "upon"], "unexpected 'upon'; put quotes"),
        (["a", "--temperature", "-1"], "--temperature must be 0 (greedy) or a positive number, not -1.0"),
        (["a", "--temperature", "nan"], "--temperature must be"),
        (["a", "--top_k", "-1"], "--top_k must be"),
        (["a", "--top_p", "1.5"], "--top_p must be"),
        (["a", "--top_p_rule", "x"], "--top_p_rule must be openai or hf, not x"),
        (["a", "--seed", "-1"], "--seed must be at least 0 and less than 2**63, not -1"),
        (["a", "--n_samples", "0"], "--n_samples must be at least 1"),
        (
            ["a", "--n_samples", "1000000000"],
            "--n_samples must be at least 1 and less than 2**16, not 1000000000",
        ),
        (["a", "--top_p", "0"], "--top_p must be more than 0 and at most 1, not 0.0"),
        (["a", "--threads", "-1"], "--threads must be at least 0 and less than 2**16, not -1"),
        (
            ["a", "--threads", "99999999999999999999"],
            "--threads must be at least 0 and less than 2**16, not 99",
        ),
        (["a", "--draft", "b", "--n_samples", "2"], "--draft is for one sample at a time, with a cache"),
        (["a", "--draft", "b", "--no_cache"], "--draft is for one sample at a time, with a cache"),
        (["a", "--stop", ""], "--stop must not be empty"),
        (["a", "--dtype", "int4"], "--dtype must be float32 or bfloat16 or int8, not int4"),
        (["a", "--truncate=maybe"], "--truncate takes true or false, not 'maybe'"),
    ],
)
def test_wrong_usage_is_said_in_one_line_before_anything_loads(picogpt, monkeypatch, argv, said):
    monkeypatch.setattr(weights, "load", None)
    done = picogpt(*argv)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.startswith("picogpt: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "stdin", "said"),
    [
        (["word " * 90], b"", "this model's context 64: --truncate keeps the newest"),
        (["a", "--model", "nowhere"], b"", "nowhere is neither a folder nor a size"),
        (["a", "--model", ""], b"", "'' is neither a folder nor a size"),
        (["a", "--model", "117M"], b"", "117M is now called 124M"),
        (["a", "--draft", "nowhere"], b"", "nowhere is neither a folder nor a size"),
        (
            ["a", "--draft", "tales"],
            b"",
            "--draft tales cannot guess for this model: it has another vocabulary",
        ),
        (["-"], b"\xff", "stdin is not UTF-8 text: byte 0 is 0xff"),
        (["\udcff"], b"", "the prompt is not UTF-8 text: it has '\\udcff' in it; convert it"),
    ],
)
def test_an_error_is_one_line_and_code_1(picogpt, argv, stdin, said):
    done = picogpt(*argv, stdin=stdin, **(dict(model=None) if "--model" in argv else {}))
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert done.err.splitlines()[-1].startswith("picogpt: ")


def test_truncate_keeps_the_newest_tokens(picogpt, params, encoder):
    ids = encoder.encode("word " * 90)[-64:]
    [new] = generate(params, HPARAMS["n_head"], [ids], 3)
    assert picogpt("word " * 90, "--truncate", "--n", "3").out == encoder.decode(new) + "\n"


def test_the_help_names_every_flag_with_its_default(picogpt):
    done = picogpt("a", "--help")
    assert (done.code, done.err) == (0, "")
    assert_documented(cli.continue_text, done.out)
    for short, name in cli.ALIASES.items():
        assert f"-{short}" in done.out and name in command.parameters(cli.continue_text)


def test_every_command_tells_its_version(picogpt, call_command):
    assert picogpt("--version").out == "picogpt 0.1.0\n"
    done = call_command(train.train, "--version")
    assert (done.code, done.out, done.err) == (0, "picogpt 0.1.0\n", "")


def test_the_help_of_the_trainer_names_every_flag_with_its_default():
    assert_documented(train.train, command.page(train.train))


def assert_documented(function, page):
    """Every flag begins a paragraph of the page, in which its default stands, too."""
    _, *paragraphs = re.split(r"\n(?=  \S)", page)
    for name, flag in command.parameters(function).items():
        shown = rf"  {name.upper()} " if flag.by_place else rf"  (-\w, )?--{name}\b"
        [paragraph] = [p for p in paragraphs if re.match(shown, p)]
        default = flag.usual
        if type(default) in (int, float) or name in ("out", "gelu", "schedule"):
            assert re.search(rf"[( ]{re.escape(str(default).removesuffix('.0'))}[;:,)]", paragraph), name


# A terminal, signals, pipes: in a process of its own


def start(*argv, **more):
    """Start the command; without a buffer, as `read` and then `communicate` would lose what it holds."""
    words = [sys.executable, "-m", "picogpt", *argv]
    return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, bufsize=0, **more)


def read_terminal(master):
    """Return all that is written to a terminal until the program ends."""
    written = b""
    try:
        while piece := os.read(master, 4096):
            written += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    return written.decode().replace("\r\n", "\n")


def test_a_terminal_shows_the_prompt_and_then_the_text(folder, expected):
    master, slave = pty.openpty()
    process = start("Once upon", "--n", "12", "--model", folder, stdout=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    assert read_terminal(master) == "Once upon" + harmless(expected("Once upon", 12))
    assert process.wait() == 0
    os.close(master)


def test_ctrl_c_keeps_the_text_so_far_and_gives_130(folder, expected):
    argv = ["Once", "--n", "1000000", "--model", folder]
    with start(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        beginning = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate()
    assert process.returncode == 130
    text = (beginning + rest).decode()
    assert text.endswith("\n")
    assert expected("Once", len(text)).startswith(text[:-1])
    assert b"Traceback" not in said


def test_ctrl_c_is_one_line_while_the_program_starts(folder):
    code = f"""
import _thread, sys

class Interrupting:
    def find_spec(*_):
        _thread.interrupt_main()

sys.argv = ["/bin/picogpt", "Once", "--model", {folder!r}]
import picogpt
sys.meta_path.insert(0, Interrupting)
from picogpt.__main__ import main
"""
    assert run_python("-c", code) == (130, "", "picogpt: interrupted\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_do_no_harm(folder, closed):
    line = f"{sys.executable} -m picogpt Once --n 3 --model {folder} {closed}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(line, shell=True, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_on_a_terminal_notes_come_after_the_text(folder, expected):
    master, slave = pty.openpty()
    process = start(
        "Once", "--n", "150", "--model", folder, stdout=slave, stderr=slave, stdin=subprocess.DEVNULL
    )
    os.close(slave)
    shown = read_terminal(master)
    assert shown == "Once" + harmless(expected("Once", 150)) + (
        "picogpt: the context of 64 tokens is full: going on from its newest half\n"
    )
    assert process.wait() == 0
    os.close(master)


def test_a_closed_pipe_ends_it_quietly(folder):
    argv = ["Once", "--n", "1000000", "--model", folder]
    with start(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        process.stdout.read(5)
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 0
    assert said.count(b"\n") <= 1  # that the context is full


def test_text_streams_while_it_is_made(folder):
    argv = ["Once", "--n", "1000000", "--model", folder]
    with start(*argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        assert process.stdout.read(100)  # though the text is never finished
        process.kill()


# How tokens are chosen, and lines of JSON


def test_preferences_are_those_of_the_library(picogpt, expected, encoder):
    flags = [
        "--repetition_penalty",
        "1.5",
        "--no_repeat_ngram_size",
        "2",
        "--min_p",
        "0.05",
        "--typical_p",
        "0.9",
        "--seed",
        "3",
    ]
    [the] = encoder.encode(" the")
    done = picogpt("Once", "--n", "9", *flags, "--logit_bias", f"{the}=-inf", "--logit_bias", "e=2")
    choice = dict(repetition_penalty=1.5, no_repeat_ngram_size=2, min_p=0.05, typical_p=0.9, seed=3)
    bias = {the: -np.inf, encoder.encode("e")[0]: 2.0}
    assert done.out == expected("Once", 9, temperature=1.0, logit_bias=bias, **choice)


def test_a_line_of_json_tells_ids_text_log_probabilities_and_why_it_ended(picogpt, params, encoder):
    done = picogpt("Once", "--n", "6", "--json", "--n_samples", "2", "--seed", "1")
    choice, found = Choice(temperature=1.0, seed=1), []
    rows = [encoder.encode("Once")] * 2
    taken = list(stream(params, HPARAMS["n_head"], rows, 6, choice, log_probs=found))
    for b, line in enumerate(map(json.loads, done.out.splitlines())):
        assert line["ids"] == [step[b] for step in taken]
        assert line["text"] == encoder.decode(line["ids"])
        assert line["log_probs"] == [numbers[b] for numbers in found]
        assert line["ended"] == "length"
    text = json.loads(picogpt("Once", "--n", "6", "--json").out)["text"]
    stopped = json.loads(picogpt("Once", "--n", "6", "--json", "--stop", text[3:5]).out)
    assert (stopped["text"], stopped["ended"]) == (text[: text.index(text[3:5])], "stop")


def test_beams_are_written_best_first(picogpt, params, encoder):
    found = beam_search(params, HPARAMS["n_head"], encoder.encode("Once"), 5, 4, 0.5)
    done = picogpt("Once", "--n", "5", "--beams", "4", "--n_samples", "2", "--length_penalty", "0.5")
    assert done.out == "".join(encoder.decode(ids) + "\n" for ids, _ in found[:2])
    assert f"beam 1 of 2, score {found[0][1]:.4f}" in done.err
    line = json.loads(picogpt("Once", "--n", "5", "--beams", "4", "--length_penalty", "0.5", "--json").out)
    assert (line["ids"], line["score"]) == found[0]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--logit_bias", "two words=1"], "--logit_bias takes one token, and 'two words' is "),
        (["--logit_bias", "262"], "--logit_bias takes one token, = and a number, not '262'"),
        (["--logit_bias", "262=nan"], "--logit_bias takes one token, = and a number, not '262=nan'"),
        (["--logit_bias", "=1"], "--logit_bias takes one token, = and a number, not '=1'"),
        (["--draft", ""], "--draft must not be empty"),
        (["--beams", "3", "--length_penalty", "nan"], "--length_penalty must be a finite number, not nan"),
        (["--min_p", "2"], "--min_p must be from 0 to 1, not 2.0"),
        (["--beams", "3", "--top_k", "5"], "--top_k has no effect with --beams"),
        (["--beams", "3", "--n_samples", "5"], "--n_samples 5 is more than --beams 3 find"),
        (["--length_penalty", "2"], "--length_penalty has no effect without --beams"),
    ],
)
def test_choices_that_mean_nothing_are_wrong_usage(flags, says, picogpt):
    done = picogpt("Once", "--n", "3", *flags)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
