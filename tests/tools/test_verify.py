"""tools/verify: each rung passes on the bundled model, and fails, naming it, when something is changed."""

import doctest
import functools
import html.parser
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import convert
import numpy as np
import pytest
from thorough import first
from verify import __main__ as verify
from verify import report as verify_report
from verify import weights as verify_weights
from verify.report import FAILED, PASSED, REPORTED, SKIPPED

from picogpt import gpt2, grad, ops
from picogpt.checkpoints import weights
from picogpt.descendants import erf
from picogpt.params.shapes import gpt2_hparams, param_shapes
from picogpt.params.tree import flatten, tree_map
from picogpt.text import bpe

REPOSITORY = Path(__file__).parents[2]

TALES = REPOSITORY / "models" / "tales"
NEEDS = {"2 PyTorch": "torch", "3 JAX": "jax", "4 tokenizer": "tiktoken"}
WITH_WEIGHTS = ["5 bytes", "6 texts", "7 numbers"]


@pytest.fixture(scope="module")
def tales():
    return verify_weights.find_subject(TALES)


def with_changes(subject, **changes):
    return SimpleNamespace(**vars(subject) | changes)


def climb(rung, subject):
    return list(verify.climb(verify.RUNGS[rung], subject))


def failures(rows):
    """Return {what: note} of the rows that failed."""
    return {row.what: row.note for row in rows if row.verdict == FAILED}


def scaled(function):
    """Return an operation that is wrong by a thousandth of its first argument."""
    return lambda x, /, *others, **named: function(1.001 * x, *others, **named)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(verify_report).attempted
    assert not doctest.testmod(verify_report).failed


@pytest.mark.parametrize(
    ("errors", "verdict", "note"),
    [
        ({"a": 1e-6, "b": 0.0}, PASSED, ""),
        ({"a": 1.1e-6, "b": 0.0}, FAILED, "a 1.1e-06"),
        ({"a": float("nan")}, FAILED, "a nan"),
        ({"a": float("inf")}, FAILED, "a inf"),
        ({"a": 0.0, "b": float("nan")}, FAILED, "b nan"),
    ],
)
def test_a_figure_passes_up_to_its_bound_and_one_that_is_no_number_never(errors, verdict, note):
    row = verify_report.within("2 operations", "the definition", errors, 1e-6)
    assert (row.verdict, row.note) == (verdict, note)
    assert row.figure == ("nan" if "nan" in note else f"{max(errors.values()):.1e}")


def test_things_that_should_be_equal_pass_if_all_are():
    def row(n, faults, **how):
        found = verify_report.equal("texts", "the published", n, faults, **how)
        return found.figure, found.bound, found.verdict, found.note

    assert row(7, []) == ("7 of 7", "all", PASSED, "")
    assert row(7, ["x"], gating=False) == ("6 of 7", "", REPORTED, "x")
    assert row(7, [*"abcde"])[3] == "a; b; c; d; e"
    assert row(7, [*"abcdef"])[2:] == (FAILED, "a; b; c; d; e; and 1 more")


@pytest.mark.parametrize("rung", verify.RUNGS)
def test_a_rung_passes_on_the_bundled_model(rung, tales):
    rows = climb(rung, tales)
    assert failures(rows) == {}
    missing = rung in NEEDS and not importlib.util.find_spec(NEEDS[rung])
    assert missing or any(row.verdict == PASSED for row in rows)
    assert [row for row in rows if row.verdict == SKIPPED and row.what != "tensors"] == [] or missing


# Rungs 1 to 3: operations


@pytest.mark.parametrize(
    ("name", "says"),
    first(
        4,
        [
            ("gelu_backward", "gelu: x"),
            ("attention_backward", "attention: q"),
            ("transformer_block_backward", "block: ln_1.g"),
            ("gpt2_backward", "wpe"),
            ("softmax_backward", "softmax: x"),
            ("layer_norm_backward", "layer_norm: g"),
            ("linear_backward", "linear: w"),
            ("dropout_backward", "dropout: x"),
            ("cross_entropy_backward", "cross_entropy: logits"),
            ("embedding_backward", "embedding: w"),
            ("self_attention_backward", "attention layer: c_attn.w"),
            ("feed_forward_backward", "feed-forward layer: c_fc.b"),
        ],
    ),
)
def test_a_wrong_gradient_is_found_by_finite_differences_and_named(name, says, tales, monkeypatch):
    monkeypatch.setattr(grad, name, scaled(getattr(grad, name)))
    notes = failures(climb("1 gradients", tales))
    assert says in " ".join(notes.values())
    assert "every weight of a small GPT-2" in notes


def test_a_wrong_gradient_of_the_exact_gelu_is_found(tales, monkeypatch):
    monkeypatch.setattr(erf, "gelu_erf_backward", scaled(erf.gelu_erf_backward))
    assert list(failures(climb("1 gradients", tales))) == ["the exact gelu"]


@pytest.mark.parametrize("name", ["gelu", "softmax", "layer_norm", "linear", "attention", "cross_entropy"])
def test_a_wrong_operation_is_found_by_pytorch_and_named(name, tales, monkeypatch):
    pytest.importorskip("torch")
    right = getattr(ops, name)
    monkeypatch.setattr(ops, name, lambda *given, **named: 1.001 * right(*given, **named))
    assert name in failures(climb("2 PyTorch", tales))["8 operations"]


def test_a_wrong_model_is_found_by_pytorch(tales, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(gpt2, "gelu", erf.gelu_erf)
    assert list(failures(climb("2 PyTorch", tales))) == ["GPT-2: logits, loss, gradients"]


def test_a_wrong_gradient_is_found_by_jax_and_named(tales, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(grad, "layer_norm_backward", scaled(grad.layer_norm_backward))
    notes = failures(climb("3 JAX", tales))
    assert "layer_norm: g" in notes["operations and parts of the model"]
    assert "ln_" in notes["GPT-2: loss and gradients"]


def test_an_operation_that_raises_fails_its_rung(tales, monkeypatch):
    monkeypatch.setattr(ops, "gelu", None)
    assert failures(climb("1 gradients", tales)) == {
        "the rest": "TypeError: 'NoneType' object is not callable"
    }


# Rung 4: one entry of the vocabulary


def exchanged(folder, i):
    """Return the tokenizer of `folder` with two neighbouring merges exchanged."""
    merges = bpe.read_merges(folder / "vocab.bpe")
    merges[i], merges[i + 1] = merges[i + 1], merges[i]
    return bpe.Encoder(merges)


def test_an_exchanged_entry_of_gpt2s_vocabulary_is_found_by_published_ids(tales):
    wrong = with_changes(tales, encoder=exchanged(REPOSITORY / "models" / "gpt2-bpe", 0), name="124M")
    notes = failures(climb("4 tokenizer", wrong))
    assert notes["published texts to ids"] == notes["and back"] == r"'let a = obj.toString();\ntoString();'"


def test_an_exchanged_entry_of_the_models_vocabulary_is_found_by_tiktoken(tales):
    pytest.importorskip("tiktoken")
    wrong = with_changes(tales, encoder=exchanged(TALES, 2000))
    notes = failures(climb("4 tokenizer", wrong))
    tokens = list(tales.encoder.encoder)[2256:2258]
    assert all(repr(token) in notes["the vocabulary of tales"] for token in tokens)


# Rung 5: one byte


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.bpe", "hparams.json"])
def test_a_changed_byte_of_a_file_is_found_and_the_file_named(name, tmp_path):
    folder = Path(shutil.copytree(TALES, tmp_path / "tales"))
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert failures(climb("5 bytes", verify_weights.find_subject(folder)))["files"] == name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The bundled model as a TensorFlow checkpoint."""
    folder = tmp_path_factory.mktemp("models") / "checkpoint"
    convert.convert(str(TALES), to="tf", out=str(folder))
    return folder


def test_every_tensor_of_a_checkpoint_has_its_crc32c(checkpoint):
    rows = climb("5 bytes", verify_weights.find_subject(checkpoint))
    assert [(row.what, row.figure, row.verdict) for row in rows[1:]] == [
        ("tensors in memory", "52 of 52", PASSED)
    ]


def test_a_changed_weight_in_memory_is_found_by_its_crc32c(checkpoint):
    subject = verify_weights.find_subject(checkpoint)
    subject.params["blocks"][1]["ln_2"]["g"][3] += 1e-6
    assert failures(climb("5 bytes", subject)) == {"tensors in memory": "model/h1/ln_2/g"}


def test_a_changed_byte_of_a_checkpoint_is_found_and_the_tensor_named(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    data = folder / "model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    subject = verify_weights.find_subject(folder)
    assert "crc32c of model/wte is wrong" in failures(climb("5 bytes", subject))["the model"]
    for rung in ("6 texts", "7 numbers"):
        assert [row.verdict for row in climb(rung, subject)] == [SKIPPED]


# Rungs 6 and 7: one weight


@pytest.mark.parametrize(
    ("path", "where", "by"), first(1, [("blocks.3.attn.c_attn.b", 600, 20), ("ln_f.g", 100, 5)])
)
def test_a_changed_weight_is_found_in_texts_and_numbers(path, where, by, tales):
    changed = tree_map(np.copy, tales.params)
    flatten(changed)[path][where] += by
    wrong = with_changes(tales, params=changed)
    notes = failures(climb("6 texts", wrong))
    assert "tales-" in notes["texts"] and " token " in notes["texts"]
    assert {"their ids", "texts, 8 unequal rows in a batch"} <= notes.keys()
    notes = failures(climb("7 numbers", wrong))
    assert {"10 losses, no clip, decay 0.01", "10 losses, clipped, decay 0"} <= notes.keys()
    assert "step 1" in notes["10 losses, clipped, decay 0"]
    assert {
        "log-probabilities of a text",
        "the same, in windows of 5",
        "a logit after 'The old king'",
    } <= notes.keys()


def test_padding_that_is_looked_at_is_found_in_batches_alone(tales, monkeypatch):
    monkeypatch.setattr(gpt2, "causal_mask", lambda T, S, dtype, pad=None: ops.causal_mask(T, S, dtype))
    assert list(failures(climb("6 texts", tales))) == ["texts, 8 unequal rows in a batch"]


def test_a_wrong_optimiser_is_found_in_the_losses_alone(tales, monkeypatch):
    step = verify_weights.adamw_step
    monkeypatch.setattr(verify_weights, "adamw_step", lambda *given, **c: step(*given, **c | dict(eps=1e-4)))
    assert list(failures(climb("7 numbers", tales))) == [
        "10 losses, no clip, decay 0.01",
        "10 losses, clipped, decay 0",
    ]


def test_a_near_tie_is_reported_and_fails_nothing(tales):
    entries = json.loads(json.dumps(tales.goldens["golden_greedy"]))
    near = entries[0]
    near["confidence"] = "low"
    near["ids"][0] += 1
    near["text"] = tales.encoder.decode(near["ids"])
    rows = climb("6 texts", with_changes(tales, goldens=tales.goldens | dict(golden_greedy=entries)))
    assert failures(rows) == {}
    assert [row.note.split(":")[0] for row in rows if row.verdict == REPORTED] == [near["id"]]


# What is published


@pytest.fixture(scope="module")
def impostor(tmp_path_factory):
    """A folder named 124M with random weights of that vocabulary and that many heads."""
    folder = tmp_path_factory.mktemp("models") / "124M"
    hparams = gpt2_hparams(n_embd=24, n_head=12, n_layer=1)
    rng = np.random.default_rng(0)
    params = tree_map(lambda shape: rng.standard_normal(shape, np.float32), param_shapes(**hparams))
    weights.save(folder, params, hparams, bpe.load_encoder(REPOSITORY / "models" / "gpt2-bpe"))
    return verify_weights.find_subject("124M", folder.parent)


@pytest.mark.parametrize(
    ("rung", "n_failed", "right"),
    [
        ("5 bytes", 2, []),
        ("6 texts", 3, ["prompts to ids"]),
        ("7 numbers", 10, []),
    ],
)
def test_what_is_published_of_124M_is_all_compared(rung, n_failed, right, impostor):
    rows = climb(rung, impostor)
    assert len(failures(rows)) == n_failed and "the rest" not in failures(rows)
    assert [row.what for row in rows if row.verdict == PASSED] == right


def test_a_file_of_124M_that_is_not_the_published_one_is_named(impostor):
    assert failures(climb("5 bytes", impostor))["files"] == "hparams.json"


def test_the_recorded_files_are_those_of_the_bundled_model(tales):
    for name, facts in tales.goldens["golden_files"]["tales"].items():
        assert verify_weights.file_facts(TALES / name) == tuple(facts), "run tests/record/goldens.py again"


def test_the_record_is_what_hugging_face_says_today(tales):
    pytest.importorskip("transformers")
    pytest.importorskip("tiktoken")
    pytest.importorskip("safetensors")
    sys.path.append(str(REPOSITORY / "tests" / "record"))
    try:
        import goldens
    finally:
        sys.path.pop()
    model, encoding = goldens.open_model()
    texts = goldens.texts(model, encoding)
    recorded = tales.goldens["golden_greedy"]
    assert [entry["ids"] for entry in texts] == [entry["ids"] for entry in recorded]
    numbers = goldens.numbers(model, encoding, tales.goldens["llmc_batch"])
    recorded = tales.goldens["golden_numbers"]
    assert list(numbers) == list(recorded)
    for live, golden in zip(flatten(numbers).items(), flatten(recorded).items(), strict=True):
        assert live == (
            golden[0],
            pytest.approx(golden[1], abs=1e-4) if type(golden[1]) is float else golden[1],
        )


# The command

FOUND = "5 passed, 1 skipped(, 1 reported)?"  # by whether there is a near tie in what the model writes


@pytest.fixture
def run(call_command, monkeypatch):
    """Run the command with some of its rungs; return its exit code, stdout and stderr."""
    monkeypatch.setattr(verify, "RUNGS", {name: verify.RUNGS[name] for name in ("5 bytes", "6 texts")})
    return functools.partial(call_command, verify.verify, name="verify")


def test_the_exit_code_is_0_if_nothing_failed(run, tmp_path):
    code, out, err = run("--models_dir", tmp_path)  # where no 124M is
    assert code == 0 and "using the small bundled model" in err
    assert re.search(rf"tales: {FOUND}\n$", out)


def test_the_exit_code_is_1_if_a_rung_failed(run, tmp_path, tales):
    changed = tree_map(np.copy, tales.params)
    changed["ln_f"]["g"][100] += 5
    weights.save(tmp_path / "tales", changed, tales.hparams, tales.encoder)
    code, out, _ = run("--model", tmp_path / "tales")
    assert code == 1
    assert "FAILED\n      model.safetensors" in out
    assert re.search(r"FAILED\n +tales-\d+: token ", out)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--model", "nowhere"], 1, "nowhere is neither a folder nor a size"),
        (["--goldens", "nowhere"], 1, "nowhere is missing: --goldens is a folder"),
        (["--report", "nowhere/report.md"], 1, "nowhere is missing: make the folder that --report names"),
        (["--report", "report.pdf"], 2, "--report must end in .md or .html, not report.pdf"),
    ],
)
def test_a_wrong_call_is_one_line(argv, code, says, run):
    found, out, err = run(*argv)
    assert found == code and out == ""
    assert says in err.splitlines()[-1]


@pytest.mark.parametrize(("rung", "package"), NEEDS.items())
def test_what_is_not_installed_is_skipped_and_says_how_to_get_it(rung, package, tales, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    rows = climb(rung, tales)
    assert rows[-1].verdict == SKIPPED
    assert rows[-1].note.startswith(f"{package} is not installed: pip install {package}")
    assert failures(rows) == {}


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ("from jax import nothing", r"cannot import name 'nothing' from .*: pip install jax"),
        ("import jax.nothing", r"No module named 'jax\.nothing'.*: pip install jax"),
        ("raise ImportError('jax requires jaxlib\\nand more')", "jax requires jaxlib"),
    ],
)
def test_what_lacks_a_part_is_skipped_and_says_which(source, note, tales, monkeypatch, tmp_path):
    (tmp_path / "jax.py").write_text(source)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    [row] = climb("3 JAX", tales)
    assert (row.verdict, bool(re.fullmatch(note, row.note))) == (SKIPPED, True), row.note


def test_what_picogpt_itself_lacks_fails():
    row = verify.ended(ImportError("cannot import name 'gelu' from 'picogpt.ops'", name="picogpt.ops"))
    assert row.verdict == FAILED


def test_weights_that_are_not_there_are_skipped_and_not_fetched(tmp_path):
    subject = verify_weights.find_subject("355M", tmp_path)
    for rung in WITH_WEIGHTS:
        [row] = climb(rung, subject)
        assert row.verdict == SKIPPED
        assert row.note.endswith("python -m picogpt '' --n 0 --model 355M fetches it")
    assert list(tmp_path.iterdir()) == []


def test_other_goldens_can_be_given(tmp_path, tales):
    weights.save(tmp_path / "mine", tales.params, tales.hparams, tales.encoder)
    none = verify_weights.find_subject(tmp_path / "mine")
    assert [row.verdict for rung in WITH_WEIGHTS for row in climb(rung, none)] == [SKIPPED] * 4
    entries = [entry | dict(model="mine") for entry in tales.goldens["golden_greedy"]]
    entries[0]["confidence"] = "low"
    (tmp_path / "golden_greedy.json").write_text(json.dumps(entries), encoding="utf-8")
    subject = verify_weights.find_subject(tmp_path / "mine", goldens=tmp_path)
    assert [row.verdict for row in climb("6 texts", subject)] == [PASSED] * 4 + [REPORTED]


# The report


class Tags(html.parser.HTMLParser):
    """The tags of a page, which must be closed in their order, and its text."""

    def __init__(self, page):
        super().__init__()
        self.seen, self.open, self.text = set(), [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert not {"src", "href"} & dict(attrs).keys()
        self.open += [] if tag == "meta" else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_the_report_says_all_that_was_found(suffix, run, tmp_path):
    path = tmp_path / f"report{suffix}"
    assert run("--models_dir", tmp_path, "--report", path)[0] == 0
    page = path.read_text(encoding="utf-8")
    if suffix == ".html":
        tags = Tags(page)
        assert tags.open == [] and "script" not in tags.seen
        page = tags.text
    for rung, function in verify.RUNGS.items():
        assert rung in page and verify.proof(function) in page
    for text in (
        "with the model tales",
        "3 of 3",
        "numpy: ",
        "machine: ",
        "date: 20",
    ):
        assert text in page
    assert re.search(FOUND, page)


def test_what_a_report_quotes_cannot_break_it():
    row = verify_report.failed("a|b", "<|endoftext|>", "'\n*x*'")
    found = [("6 texts", "It proves.", [row])]
    assert Tags(verify_report.to_html("<tales>", found)).open == []
    assert r"| a\|b | \<\|endoftext\|> |" in verify_report.to_markdown("tales", found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_fits_a_phone_and_can_be_read_in_the_dark(tmp_path, scheme):
    api = pytest.importorskip("playwright.sync_api", reason='needs playwright: pip install -e ".[browser]"')
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs an installed Chromium: apt install chromium")
    long = "a_name_of_a_file_that_is_long_and_has_no_place_to_break/" * 3
    rows = [verify_report.within("9 operations", "finite differences", {"gelu": 1e-9}, 1e-6)]
    rows.append(verify_report.failed("texts", long, long))
    path = tmp_path / "report.html"
    verify_report.write(path, "tales", [("1 gradients", "It proves.", rows)])
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=390, height=844), color_scheme=scheme)
        page.set_default_timeout(150_000)
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == dict(light="rgb(255, 255, 255)", dark="rgb(20, 24, 28)")[scheme]
        assert page.locator("td[data-name=figure]").first.inner_text() == "1.0e-09"
        browser.close()
