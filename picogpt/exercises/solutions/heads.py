"""Right heads, cut and merged, and the usual mistakes: below each line, what is written in its place."""


def split_heads(x, n_head):
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head).swapaxes(1, 2)
    # wrong: return x.reshape(B, n_head, T, C // n_head)
    # reshape alone mixes tokens and heads: cut the channels first, [B, T, H, D], then swap the axes 1 and 2.
    # wrong: return x.reshape(B, T, C // n_head, n_head).transpose(0, 3, 1, 2)
    # Head h takes every n_head-th channel; it has D neighbouring ones: reshape to [B, T, H, D].
    # wrong: return x.reshape(B, T, n_head, C // n_head)
    # The heads stand after the tokens; the shape is [B, H, T, D].
    # wrong: return x.reshape(B, T, n_head, C // n_head).transpose(0, 2, 3, 1)
    # Tokens and channels of a head are swapped: [B, H, T, D].
    # wrong: return x.reshape(B, T, n_head, C // n_head).swapaxes(0, 1)
    # Axes 0 and 1 are swapped, the batch and the tokens; it should be axes 1 and 2, tokens and heads.


def merge_heads(x):
    B, H, T, D = x.shape
    return x.swapaxes(1, 2).reshape(B, T, H * D)
    # wrong: return x.reshape(B, T, H * D)
    # reshape alone mixes tokens and heads: swap the axes 1 and 2 first.
    # wrong: return x.transpose(0, 2, 3, 1).reshape(B, T, H * D)
    # The channels of the heads are interleaved; head 0's come first, then head 1's.
    # wrong: return x.swapaxes(1, 2)
    # The heads are not laid side by side: [B, T, H, D] is to become [B, T, H * D].
    # wrong: return x.swapaxes(-1, -2).reshape(B, T, H * D)
    # The last two axes are swapped; it should be axes 1 and 2, heads and tokens.
