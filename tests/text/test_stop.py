"""Where a text ends: what is shown at once, what is held back, and which stop comes first."""

import pytest

from picogpt.text.stop import stop_at, until


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["ab", "c"], [], ["ab", "c"]),  # nothing is held back that no stop may begin with
        (["ab", "c"], ["x"], ["ab", "c"]),
        (["ab", "c"], ["bd"], ["a", "bc"]),
        (["ab"], ["bd"], ["a", "b"]),
        (["ab", "d", "e"], ["bd"], ["a"]),
        (["abcabd"], ["bd", "ca"], ["ab"]),  # of two, the one that begins first
        (["a", "ab"], ["aab"], []),
        (["aa", "ab"], ["aab"], ["a"]),
        ([], ["x"], []),
    ],
)
def test_a_text_is_shown_as_far_as_no_stop_may_have_begun(pieces, stops, shown):
    assert list(until(pieces, stops)) == shown


class Letters:
    """A tokenizer whose ids are letters."""

    @staticmethod
    def decode(ids):
        return "".join(ids)


@pytest.mark.parametrize(
    ("ids", "ended"), [("xab", True), ("xaby", False), ("xb", False), ("xe", True), ("ex", False)]
)
def test_it_has_ended_when_the_last_id_completes_a_stop_or_is_one(ids, ended):
    assert stop_at(Letters, stop_ids=["e"], stops=["ab"])(list(ids)) == ended
