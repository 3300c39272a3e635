"""Another right form of what the rung cache asks for."""

import numpy as np

from picogpt.gpt2 import KVCache


class KVCache(KVCache):
    def extend(self, layer, k, v):
        old = self.kv[layer][..., : self.length, :]
        new = np.concatenate([old, np.stack([k, v])], axis=-2)
        self.kv[layer][..., : new.shape[-2], :] = new
        return list(new)
