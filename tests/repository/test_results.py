"""docs/results.md says what the runs' own files say, and nothing else."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from processes import run_python

from docs import results

RUN = dict(
    project="sorter",
    command="python -m picogpt.projects.sorter",
    seconds=61.0,
    settings={},
    results={"right of 729": 729, "loss": {"0": 1.0641, "100": 0.1471}, "by model": {"a": {"n": 1}, "b": {}}},
    published={"right of 729": "all", "loss": {"0": 1.06, "200": 0.05}},
)


def test_the_page_is_made_from_the_records():
    page = (results.DOCS / "results.md").read_text(encoding="utf-8")
    assert page == results.page(results.recorded())
    for path in (results.DOCS / "results").glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["command"] in page


@pytest.mark.parametrize(
    "path", sorted((results.DOCS / "results").glob("*.json")), ids=lambda path: path.stem
)
def test_every_published_figure_stands_beside_one_of_ours(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["published"].keys() <= record["results"].keys()


def test_a_section_has_every_figure_beside_the_published_one():
    text = results.section(RUN)
    assert "\n61 seconds.\n" in text
    assert "| right of 729 | 729 | all |" in text
    assert "|  | 0 | 100 | 200 |\n|---|---|---|---|\n| here | 1.0641 | 0.1471 |  |\n" in text
    assert "\n| published | 1.06 |  | 0.05 |\n" in text
    assert "|  | n |\n|---|---|\n| a | 1 |\n| b |  |" in text


def test_the_probe_is_drawn_from_the_record_and_shown_with_it():
    shares = {"the pixels themselves": {"0": 0.91}, "image GPT, untrained": {"0": 0.5, "1": 0.625}}
    shares |= {"image GPT": {"0": 0.5, "1": 0.987}, "masked, untrained": {"0": 0.5, "1": 0.6}}
    shares["masked"] = {"0": 0.7, "1": 0.9}
    drawn = ElementTree.fromstring(results.probe(shares))
    texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert {"0.5", "1.0", "0", "1", "pixels themselves", "image GPT", "masked"} <= {*texts}
    assert texts.count("untrained") == 2
    assert "image GPT: 0.500, 0.987" in next(e.text for e in drawn if e.tag.endswith("desc"))
    lines = [e for e in drawn if e.get("class") in ("curve", "third")]
    ends = [[float(point.split(",")[1]) for point in e.get("points").split()] for e in lines]
    assert [bool(e.get("stroke-dasharray")) for e in lines] == [True, True, False, False] * 2
    assert [high < low for low, high in ends] == [True, False] * 4  # upwards on the page, and its sample
    places = [(e.get("x"), e.get("y")) for e in drawn if e.get("y") and float(e.get("y")) > 240]
    assert len({*places}) == len(shares)
    run = RUN | {"results": {results.PROBE: shares}, "published": {}}
    assert "](probe.svg)\n" in results.section(run)
    assert "probe.svg" not in results.section(RUN)


def test_the_drawing_of_the_page_is_that_of_the_record():
    shares, path = results.probed(results.recorded()), results.DOCS / "probe.svg"
    assert path.is_file() == bool(shares)
    assert not shares or results.probe(shares) == path.read_text(encoding="utf-8")


def test_of_several_probes_each_model_is_drawn_by_its_last():
    runs = [{"a": {"0": 0.1}, "b": {"0": 0.2}}, None, {"b": {"0": 0.3}, "c": {"0": 0.4}}]
    found = [{"results": {results.PROBE: run} if run else {}} for run in runs]
    assert results.probed(found) == {"a": {"0": 0.1}, "b": {"0": 0.3}, "c": {"0": 0.4}}
    assert results.probed(found[1:2]) == {}


def test_a_run_is_copied_under_the_name_of_its_project_and_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    for folder, project in (("sorter", "sorter"), ("long", "sorter"), ("masked-images", "masked_images")):
        (tmp_path / "runs" / folder).mkdir(parents=True)
        run = json.dumps(RUN | dict(project=project))
        (tmp_path / "runs" / folder / "result.json").write_text(run, encoding="utf-8")
    results.take(sorted((tmp_path / "runs").glob("*/result.json")))
    assert [path.name for path in sorted((tmp_path / "results").iterdir())] == [
        "masked-images.json",
        "sorter-long.json",
        "sorter.json",
    ]
    assert results.recorded() == [RUN | dict(project="masked_images"), RUN, RUN]


@pytest.mark.parametrize(
    ("word", "code", "says"),
    [
        ("--hlep", 2, "there is no flag --hlep"),
        ("nowhere.json", 1, "nowhere.json: No such file"),
        (__file__, 1, "test_results.py is no result of a run: give the result.json of one"),
    ],
)
def test_a_wrong_call_is_one_line(word, code, says):
    done = run_python(Path(__file__).parents[2] / "tools" / "docs" / "results.py", word)
    assert done.code == code
    assert done.err.startswith("results: ") and done.err.count("\n") == 1
    assert says in done.err


@pytest.mark.parametrize("content", ["[]", "{}", "1", '{"project": "sorter"}'])
def test_what_is_no_result_is_named_and_nothing_taken(content, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    (tmp_path / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"result\.json is no result of a run"):
        results.take([tmp_path / "result.json"])
    assert list((tmp_path / "results").iterdir()) == []
