"""The tables of losses in docs/options.md are what the records say, and the drawing what the page says."""

import dataclasses
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs import losses, positions
from picogpt.params.options import Options

PAGE = (losses.DOCS / "options.md").read_text(encoding="utf-8")


def test_the_tables_are_made_from_the_records():
    assert losses.page(PAGE, losses.recorded()) == PAGE
    shown = [f"{record['held-out loss']:.3f}" for record in losses.recorded().values()]
    assert len(shown) > 10 and all(loss in PAGE for loss in shown)


def test_every_option_of_the_model_has_a_row():
    rows = " ".join(losses.OPTIONS)
    assert [f.name for f in dataclasses.fields(Options) if f"--{f.name} " not in rows] == []


def test_rows_say_how_much_less_the_loss_is_and_leave_out_what_is_not_recorded():
    first, other = (losses.command(flags, 1337) for flags in losses.OPTIONS[:2])
    records = {first: {"parameters": 1000, "held-out loss": 2.5}}
    records[other] = {"parameters": 900, "held-out loss": 2.75}
    assert losses.rows("options", records)[2:] == [
        "| GPT-2 | 1,000 | 2.500 |  |",
        "| `--positions rotary` | 900 | 2.750 | −0.250 |",
    ]


def test_seeds_have_a_mean_and_a_deviation():
    records = {
        losses.command("", seed, losses.WHOLE): {"held-out loss": loss}
        for seed, loss in zip(losses.SEEDS, (2.0, 2.1, 2.3), strict=True)
    }
    # mean 6.4 / 3; squares of the differences 0.01778, 0.00111, 0.02778: sum 0.04667, half of it 0.02333
    records[losses.command("--tied false", 1338, losses.WHOLE)] = {"held-out loss": 2.5}
    assert losses.seeds(records)[2::3] == [
        "| GPT-2 | 2.000 | 2.100 | 2.300 | 2.133 | 0.153 |",
        "| `--tied false` |  | 2.500 |  |  |  |",
    ]


def test_a_table_takes_the_place_of_the_first_one_below_its_heading():
    records = {losses.command("", 1337): {"parameters": 10, "held-out loss": 1.0}}
    records |= {losses.command("--optimizer muon", 1337): {"parameters": 10, "held-out loss": 0.5}}
    text = "| a |\n\n## AdamW and Muon\n\nWords.\n\n| old |\n|---|\n\nMore.\n\n| b |\n"
    head = "| | parameters | held-out loss | less than GPT-2's by |\n|---|---|---|---|\n"
    table = head + "| GPT-2 | 10 | 1.000 |  |\n| `--optimizer muon` | 10 | 0.500 | 0.500 |\n"
    assert losses.page(text, records) == text.replace("| old |\n|---|\n", table)


def test_a_training_is_recorded():
    flags = "--steps 1 --eval_every 1 --eval_batches 2 --threads 1 --lr 0 --min_lr 0 --batch_size 4"
    tiny = f"{flags} --n_layer 1 --n_head 2 --n_embd 8 --n_ctx 16"
    record = losses.train(losses.command("--bias false", 1, tiny))
    embeddings, norms, matrices = (65 + 16) * 8, 3 * 8, 8 * 24 + 8 * 8 + 2 * 8 * 32
    assert record["parameters"] == embeddings + norms + matrices
    assert record["held-out loss"] == pytest.approx(math.log(65), abs=0.01)  # it has learned nothing


def test_the_drawing_of_positions_is_that_of_the_table():
    found = positions.figures(PAGE)
    assert found["learned"][32] == 11.18 and found["none"][128] == 12.64
    drawn = positions.draw(found)
    assert drawn == (Path(losses.DOCS) / "positions.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(drawn)
    lines = {}
    for element in root:
        if element.tag.endswith("polyline") and element.get("class") != "faint":
            points = element.get("points").split()
            lines[element.get("class")] = [float(point.split(",")[1]) for point in points]
    heights = {name: lines[kind] for name, kind in positions.KINDS.items()}
    for i, window in enumerate((32, 64, 128)):  # what is higher on the page has the greater perplexity
        by_height = sorted(heights, key=lambda name: heights[name][i])
        assert by_height == sorted(found, key=lambda name: -found[name][window])
    assert "rotary 9.51, 9.79, 10.80" in next(e.text for e in root if e.tag.endswith("desc"))
