// ---- the page ----

$("title").textContent = `Inside ${data.model.name}`
$("facts").textContent = `${L} layers of ${H} ${H === 1 ? "head" : "heads"}, ${C} channels, ${whole(V)} tokens in the vocabulary, ${whole(data.model.n_params)} parameters`
$("lead").textContent = `The model read ${data.n_prompt} ${data.n_prompt === 1 ? "token" : "tokens"}` +
  (T > data.n_prompt ? ` and added ${T - data.n_prompt}, ${LIVE?.temperature ? "drawn at temperature " + LIVE.temperature : "the likeliest each time"}` : "") +
  ". Choose a token in the row below, by pointer, touch or arrow keys: every panel then shows the model as it was after reading that token."

const DRAW = [drawMoment, drawModel, drawBoxes, drawNext, drawAttention, drawWalk, drawNeurons, drawLens, drawBack, drawStep, drawStream, drawOff]

function show(t) {
  state.at = t
  for (const draw of DRAW) draw(t)
}

function paint() { readColours(); drawMaps(); show(state.at) }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint)
addEventListener("resize", () => drawLarge(state.at))

// begin with the head that looks most sharply at one token other than the first and itself
let sharpest = -1
for (let layer = 0; layer < L; layer++)
  for (let head = 0; head < H; head++) {
    let sum = 0
    for (let t = 2; t < T; t++) for (let s = 1; s < t; s++) sum += weight(layer, head, t, s) ** 2
    if (sum > sharpest) Object.assign(state, { layer, head }), sharpest = sum
  }
paint()
pin(state.pinned)
if (LIVE) backToTheView()
if (LEARN) beginLearning()
