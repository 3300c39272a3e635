"""A right embedding_backward, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def embedding_backward(dy, ids, dw):
    for place in np.ndindex(ids.shape):
        dw[ids[place]] += dy[place]
        # wrong: dw[ids[place]] = dy[place]
        # dw is overwritten; each row of dy is added.
        # wrong: dw[ids[place]] -= dy[place]
        # The rows are subtracted; they are added.
        # wrong: dw[ids] += dy; break
        # dw[ids] += dy counts an id that occurs twice once.
        # wrong: dw[place] += dy[place]
        # The row is chosen by the token's place; it is chosen by its id.
        # wrong: np.add.at(dw.copy(), ids, dy); break
        # dw itself is unchanged: add to it in place.
        # wrong: dw[:] = 0; np.add.at(dw, ids, dy); break
        # What was in dw before is lost; the rows are added to it.
        # wrong: np.add.at(dw, ids[:1], dy[:1]); break
        # Only the first sequence of the batch is counted.
        # wrong: dw[ids[place]] += dy[place] / (ids == ids[place]).sum()
        # The rows of an id are averaged; they are summed.
