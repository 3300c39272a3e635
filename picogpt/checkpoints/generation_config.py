"""How a model is meant to be used: the generation_config.json in its folder, as Hugging Face has it.

    {"eos_token_id": 50256, "max_new_tokens": 200, "do_sample": true, "temperature": 0.7, "top_k": 40}

It holds where the user says nothing. Its values mean what they mean to transformers' `generate`: sampling
without a top_k is among 50 tokens, top_p keeps the token that crosses it, max_length counts the prompt too.
What would give another text than transformers' is refused, as beams are.
"""

from pathlib import Path

from picogpt.system.files import read_object

FILE = "generation_config.json"
NUMBERS = dict(  # what is followed, and the least and the most that makes sense
    max_new_tokens=(1, 2**31),
    max_length=(1, 2**31),
    temperature=(0, 2**31),
    top_k=(0, 2**31),
    top_p=(0, 1),
    repetition_penalty=(0, 2**31),
    no_repeat_ngram_size=(0, 2**31),
    min_p=(0, 1),
    typical_p=(0, 1),
)
WHOLE = ("max_new_tokens", "max_length", "top_k", "no_repeat_ngram_size")
PREFERENCES = ("repetition_penalty", "no_repeat_ngram_size", "min_p", "typical_p")  # see choose.py
NEUTRAL = dict(  # what is not, and the value that changes nothing
    num_beams=1,
    num_return_sequences=1,
    min_length=0,
    min_new_tokens=0,
    top_h=1.0,
    epsilon_cutoff=0.0,
    eta_cutoff=0.0,
    penalty_alpha=0.0,
    guidance_scale=1.0,
    forced_bos_token_id=None,
    forced_eos_token_id=None,
    bad_words_ids=None,
    suppress_tokens=None,
    begin_suppress_tokens=None,
    sequence_bias=None,
    stop_strings=None,
    exponential_decay_length_penalty=None,
    watermarking_config=None,
    dola_layers=None,
    constraints=None,
    force_words_ids=None,
    encoder_repetition_penalty=1.0,
    encoder_no_repeat_ngram_size=0,
    num_beam_groups=1,
    diversity_penalty=0.0,
    forced_decoder_ids=None,
    token_healing=False,
    max_time=None,
)
N_NEW, TOP_K = 40, 50  # tokens added without a file, as before; sampled among by transformers


def read(folder):
    """Return what the folder's file says that is followed here; {} without a file."""
    path = Path(folder, FILE)
    if not path.is_file():
        return {}
    try:
        return followed({key: value for key, value in read_object(path).items() if value is not None})
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be followed: {error}; --plain leaves it aside") from None


def followed(said):
    """Return what of {key: value} is followed; ValueError for what cannot be, or makes no sense."""
    for key, neutral in NEUTRAL.items():
        if said.get(key, neutral) not in (neutral, []):
            raise ValueError(f"{key} is {said[key]!r}, and picogpt computes nothing of the kind")
    found = {}
    for key, (least, most) in NUMBERS.items():
        value = said.get(key, least)
        whole = key in WHOLE
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ValueError(f"{key} is {value!r}, but must be a {'whole ' if whole else ''}number")
        if not least <= value <= most:
            raise ValueError(f"{key} is {value}, but must be from {least} to {most:g}")
        if key in said:
            found[key] = value
    if "do_sample" in said:
        if type(said["do_sample"]) is not bool:
            raise ValueError(f"do_sample is {said['do_sample']!r}, but must be true or false")
        found["do_sample"] = said["do_sample"]
    ends = said.get("eos_token_id", [])
    ends = ends if isinstance(ends, list) else [ends]
    if not all(type(i) is int and i >= 0 for i in ends):
        raise ValueError(f"eos_token_id is {said['eos_token_id']!r}, but must be a token's id, or several")
    return found | (dict(eos_token_id=ends) if ends else {})


def ends(said):
    """Return the ids that end a text."""
    return said.get("eos_token_id", [])


def n_new(said, given, n_prompt):
    """Return how many tokens to add to a prompt of so many; `given` by the user, or None."""
    if given is not None:
        return given
    if "max_new_tokens" in said or "max_length" not in said:
        return said.get("max_new_tokens", N_NEW)
    if n_prompt >= said["max_length"]:
        raise ValueError(
            f"the prompt has {n_prompt} tokens, and the model's {FILE} allows {said['max_length']} in all:"
            " give --n"
        )
    return said["max_length"] - n_prompt


def choice(said, temperature=None, top_k=None, top_p=None, top_p_rule=None, seed=None, **preferences):
    """Return how to choose each token, as `generate.sample` takes it; None is what the user does not say.

    Without a file: the likeliest, unless a flag of sampling is given.

    >>> choice({}, top_k=5)
    {'temperature': 1.0, 'top_k': 5, 'top_p': 1.0, 'top_p_rule': 'openai'}
    >>> choice({"do_sample": True, "top_p": 0.9})
    {'temperature': 1.0, 'top_k': 50, 'top_p': 0.9, 'top_p_rule': 'hf'}
    """
    samples = said.get("do_sample", False)
    if temperature is None and samples:
        temperature = said.get("temperature", 1.0)
    elif temperature is None:
        draws = top_k or top_p not in (None, 1) or seed is not None
        draws = draws or preferences.get("min_p") or preferences.get("typical_p", 1) not in (None, 1)
        temperature = 1.0 if draws else 0.0
    if top_p_rule is None:
        top_p_rule = "hf" if top_p is None and "top_p" in said else "openai"
    if top_k is None:
        top_k = said.get("top_k", TOP_K if samples else 0)
    if top_p is None:
        top_p = said.get("top_p", 1.0)
    more = {name: said[name] for name in PREFERENCES if name in said}
    more |= {name: value for name, value in preferences.items() if value is not None}
    return dict(temperature=temperature, top_k=top_k, top_p=top_p, top_p_rule=top_p_rule, **more)
