"""Record how Hugging Face chooses tokens: beams, penalties, filters: tests/references/choices.json.

    pip install -e ".[reference]"
    python tests/record/choices.py

The beams are those of the tiny model of tests/references/pytorch.npz, in float64. A hidden logit is null.
"""

import json
import sys
from pathlib import Path

import numpy as np

RECORD = Path(__file__).parents[1] / "references" / "choices.json"
BEAMS = [
    dict(n_beams=3),
    dict(n_beams=4, length_penalty=0.0),
    dict(n_beams=3, ends=[5]),
    dict(n_beams=4, ends=[5, 11, 2], length_penalty=2.0),
    dict(n_beams=2, ends=[5, 11, 2, 7, 8], early_stopping=True, length_penalty=-1.0),
    dict(n_beams=3, ends=[4, 13, 1, 0, 11, 8], length_penalty=2.0),  # many of which are likely
    dict(n_beams=3, ends=[5, 2], preferences=dict(repetition_penalty=1.5, no_repeat_ngram_size=2)),
]
PREFERENCES = [
    dict(repetition_penalty=1.3),
    dict(repetition_penalty=0.7),
    dict(no_repeat_ngram_size=1),
    dict(no_repeat_ngram_size=3),
    dict(logit_bias={3: 2.5, 7: -np.inf}),
    dict(logit_bias={1: -4.0}, repetition_penalty=2.0, no_repeat_ngram_size=2),
]
FILTERS = [
    dict(min_p=0.2), dict(min_p=1.0), dict(typical_p=0.3), dict(typical_p=0.95),
    dict(top_k=9, min_p=0.1, typical_p=0.5),
]  # fmt: skip
SEEDS = 3  # of each setting


def random(seed, dtype=np.float32):
    """Return random logits of four rows, and their texts so far."""
    rng = np.random.default_rng(seed)
    return 3 * rng.standard_normal((4, 12)).astype(dtype), rng.integers(0, 12, (4, 7))


def processed(settings, seed):
    """Return what Hugging Face's processors of the settings, in its order, make of random logits."""
    import torch
    from transformers.generation import logits_process as hf

    made, (logits, ids) = [], random(seed)
    if bias := settings.get("logit_bias"):
        made.append(hf.SequenceBiasLogitsProcessor({(i,): float(b) for i, b in bias.items()}))
    if penalty := settings.get("repetition_penalty"):
        made.append(hf.RepetitionPenaltyLogitsProcessor(penalty))
    if n := settings.get("no_repeat_ngram_size"):
        made.append(hf.NoRepeatNGramLogitsProcessor(n))
    if k := settings.get("top_k"):
        made.append(hf.TopKLogitsWarper(k))
    if p := settings.get("min_p"):
        made.append(hf.MinPLogitsWarper(p))
    if p := settings.get("typical_p"):
        made.append(hf.TypicalLogitsWarper(p))
    scores = torch.from_numpy(logits)
    for processor in made:
        scores = processor(torch.from_numpy(ids), scores)
    return [[round(float(x), 5) if np.isfinite(x) else None for x in row] for row in scores.numpy()]


def beams(params, prompt, case):
    """Return Hugging Face's beams for a prompt, seven tokens or fewer: [new ids, score], the best first."""
    import torch
    from record import pytorch

    model, preferences = pytorch.hugging_face(params, **pytorch.TINY), case.get("preferences", {})
    said = model.generate(
        torch.tensor([prompt]), max_new_tokens=7, do_sample=False, num_beams=case["n_beams"],
        num_return_sequences=case["n_beams"], length_penalty=case.get("length_penalty", 1.0),
        early_stopping=case.get("early_stopping", False), eos_token_id=case.get("ends"), pad_token_id=0,
        return_dict_in_generate=True, output_scores=True, **preferences,
    )  # fmt: skip
    found = []
    for ids, score in zip(said.sequences[:, len(prompt) :].tolist(), said.sequences_scores, strict=True):
        n = next((n for n, i in enumerate(ids, 1) if i in case.get("ends", [])), len(ids))
        found.append([ids[:n], round(float(score), 7)])
    return found


def facts(params, rows):
    """Return the record, for the tiny model {path: array} and the rows of its batch."""
    return dict(
        processed=[[processed(some, seed) for seed in range(SEEDS)] for some in [*PREFERENCES, *FILTERS]],
        beams=[[beams(params, row[:3].tolist(), case) for row in rows] for case in BEAMS],
    )


def main():
    """Write the record."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from record import pytorch

    with np.load(RECORD.with_name("pytorch.npz")) as arrays:
        tiny = {name.removeprefix("tiny."): arrays[name] for name in arrays if name.startswith("tiny.")}
    params = {path.removeprefix("params."): w for path, w in tiny.items() if path.startswith("params.")}
    params = {path: w.astype(np.float64) for path, w in params.items()}
    assert params and pytorch.TINY
    RECORD.write_text(json.dumps(facts(params, tiny["ids"]), separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
