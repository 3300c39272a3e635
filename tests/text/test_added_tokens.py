"""Added tokens in a text, by the rules of tokenizers, branch by branch; tests/record has whole tokenizers."""

import pytest

from picogpt.text.added_tokens import AddedToken, AddedTokens


def cut(text, allow=True, **how):
    return AddedTokens({7: AddedToken("zebra", **how)}).cut(text, allow)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a zebra b", ["a ", 7, " b"]),
        ("zebra", [7]),
        ("zebrazebra", [7, 7]),
        ("azebrab", ["a", 7, "b"]),
        ("a", ["a"]),
        ("", []),
    ],
)
def test_a_token_is_found_where_it_stands(text, pieces):
    assert cut(text) == pieces


@pytest.mark.parametrize("around", ["a", "é", "_", "7", "\u200d"])
def test_a_single_word_has_no_letter_beside_it(around):
    assert cut(f"{around}zebra.", single_word=True) == [f"{around}zebra."]
    assert cut(f".zebra{around}", single_word=True) == [f".zebra{around}"]
    assert cut(f"{around} zebra", single_word=True) == [f"{around} ", 7]
    assert cut("zebra", single_word=True) == [7]


def test_white_space_goes_to_a_token_on_the_side_that_strips():
    assert cut("a \tzebra \nb", lstrip=True) == ["a", 7, " \nb"]
    assert cut("a \tzebra \nb", rstrip=True) == ["a \t", 7, "b"]
    assert cut("zebra b", rstrip=True) == [7, "b"]
    assert cut("  a \tzebra", lstrip=True) == ["  a", 7]
    assert cut("  a zebra  b zebra c", lstrip=True) == ["  a", 7, "  b", 7, " c"]
    assert cut("  zebra  ", lstrip=True, rstrip=True) == [7]
    assert cut("zebra  zebra ", lstrip=True) == [7, 7, " "]
    assert cut("zebra  zebra ", lstrip=True, rstrip=True) == [7, 7]


def test_what_controls_a_model_is_found_only_where_that_is_allowed():
    assert cut("a zebra", allow=False) == ["a ", 7]
    assert cut("a zebra", allow=False, special=True) == ["a zebra"]
    assert cut("a zebra", allow=True, special=True) == ["a ", 7]


def test_of_those_that_begin_at_one_place_the_longest_is_found():
    tokens = AddedTokens({1: AddedToken("ze"), 2: AddedToken("zebra"), 3: AddedToken("zeb")})
    assert tokens.cut("zebra zebu ze", True) == [2, " ", 3, "u ", 1]


def test_what_is_normalized_is_sought_in_what_the_others_leave():
    tokens = AddedTokens({1: AddedToken("zebra", normalized=True), 2: AddedToken("bra")})
    assert tokens.cut("zebra", True) == ["ze", 2]
    tokens = AddedTokens({1: AddedToken("ze", normalized=True), 2: AddedToken("bra")})
    assert tokens.cut("zebra", True) == [1, 2]
