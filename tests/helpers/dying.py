"""What dies amid its writes, at any of them."""

from picogpt.system.files import move_into_place


def dying_move(k, before):
    """Return a `files.move_into_place` that raises KeyboardInterrupt at call k, `before` the move or after.

    k counts from 0. The attribute `n_moves` counts the calls.
    """

    def move(*args):
        move.n_moves += 1
        if not (move.n_moves == k + 1 and before):
            move_into_place(*args)
        if move.n_moves == k + 1:
            raise KeyboardInterrupt

    move.n_moves = 0
    return move
