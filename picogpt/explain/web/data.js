// ---- the data ----

const data = JSON.parse(document.getElementById("data").textContent)

function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.base64), c => c.charCodeAt(0))
  const Kind = { f4: Float32Array, u4: Uint32Array, u1: Uint8Array }[packed.dtype]
  const array = new Kind(bytes.buffer)  // all machines with a browser have the smallest byte first
  const strides = packed.shape.map((_, i) => packed.shape.slice(i + 1).reduce((a, b) => a * b, 1))
  return (...at) => array[at.reduce((sum, i, axis) => sum + i * strides[axis], 0)]
}

function unpackAll(tree) {
  for (const [key, value] of Object.entries(tree))
    if (value?.base64 !== undefined) tree[key] = Object.assign(unpack(value), { shape: value.shape })
    else if (value && typeof value === "object" && !Array.isArray(value)) unpackAll(value)
}
unpackAll(data)

const T = data.ids.length, { n_layer: L, n_head: H, n_vocab: V, n_embd: C } = data.model.hparams
const D = C / H, K = data.top.ids.shape[1]

// What the reader has chosen: the token that is pinned and the one that is looked at, a layer and a head of it, which
// token is watched (0: the one that follows, 1: the likeliest), whether all logits are listed, the step of the walk.
const state = { pinned: data.n_prompt - 1, at: data.n_prompt - 1, layer: 0, head: 0, watch: 0, all: false, walk: 0 }

// lower triangles: token t looks at, or hangs on, the tokens s up to it
const place = (t, s) => t * (t + 1) / 2 + s
const score = (layer, head, t, s) => data.scores(layer, head, place(t, s))

// attention: the softmax of each row of scores, computed once
const weights = new Float32Array(L * H * place(T, 0))
for (let layer = 0; layer < L; layer++)
  for (let head = 0; head < H; head++)
    for (let t = 0; t < T; t++) {
      const row = Array.from({ length: t + 1 }, (_, s) => score(layer, head, t, s)), most = Math.max(...row)
      const raised = row.map(x => Math.exp(x - most)), sum = raised.reduce((a, b) => a + b, 0)
      raised.forEach((x, s) => weights[(layer * H + head) * place(T, 0) + place(t, s)] = x / sum)
    }
const weight = (layer, head, t, s) => s > t ? 0 : weights[(layer * H + head) * place(T, 0) + place(t, s)]
