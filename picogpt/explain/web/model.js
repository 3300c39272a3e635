// ---- the whole model, in one drawing ----
//
// From the top: the text, its embeddings, and then for each layer a row. The line in the middle is the residual stream,
// with what the model would say if it stopped there; attention reads from it and adds to it on the left, the
// feed-forward layer on the right. Every part leads to its panel. All that is drawn is of the chosen token.

const FEW = 8  // layers that are all drawn at once; of more, the first four and the last two

const part = (target, name, note, content, choose) => make("a", { class: "part", href: "#" + target, onclick: choose },
  make("b", {}, name), make("span", { class: "note" }, note), ...content)

// The stream passes a layer: a branch leaves it to the left and comes back, then one to the right.
const fork = () => svg("svg", { viewBox: "0 0 100 128", preserveAspectRatio: "none", "aria-hidden": "true", class: "fork" },
  svg("path", { class: "main", d: "M50 0V128" }),
  svg("path", { class: "branch", d: "M50 12H0M0 44H43M50 72H100M100 104H57" }))
const tip = (top, left, way) => make("i", { class: "tip to-" + way, style: `top: ${top}px; left: ${left}`, "aria-hidden": true })
const plus = (top, side) => make("i", { class: "plus " + side, style: `top: ${top}px`, "aria-hidden": true }, "+")

const layerRows = range(L).map(layer => {
  const heads = make("canvas", { width: T, height: H, "aria-hidden": true })
  const neurons = make("span", { class: "fired" })
  const says = make("a", { class: "says", href: "#lens" })
  const row = make("li", { class: "block" },
    part("walk", "attention", H === 1 ? `1 head of ${D}` : `${H} heads of ${D}`, [heads], () => enlarge(layer, mostFocused(layer, state.at))),
    make("span", { class: "trunk" }, fork(), tip(12, "0", "left"), tip(44, "calc(50% - 16px)", "right"), tip(72, "calc(100% - 7px)", "right"),
      tip(104, "calc(50% + 9px)", "left"), plus(35, "left"), plus(95, "right"),
      make("span", { class: "name" }, `layer ${layer + 1}`)),
    part("neurons", "feed-forward", `${C} → ${whole(4 * C)} → ${C}`, [neurons]), says)
  return { row, heads, neurons, says }
})

// the head of a layer that looks most sharply from token t at one that is not the first
function mostFocused(layer, t) {
  let best = 0, most = -1
  for (const head of range(H)) for (let s = 1; s <= t; s++)
    if (weight(layer, head, t, s) > most) [best, most] = [head, weight(layer, head, t, s)]
  return best
}

const unfolded = make("li", { class: "unfolded" }, make("button", { class: "more", "aria-expanded": false, onclick: () => {
  layerRows.forEach(({ row }) => row.hidden = false)
  unfolded.firstChild.setAttribute("aria-expanded", true)
  unfolded.hidden = true
} }, `layers 5 to ${L - 2}, built alike: show them`))
if (L > FEW) layerRows.slice(4, L - 2).forEach(({ row }) => row.hidden = true)

const input = make("span", { class: "input" }), embedded = make("span", { class: "note" })
const firstSays = make("a", { class: "says", href: "#lens" }), answer = make("span", { class: "answer" })
const positions = data.positions ? [" + ", make("span", { class: "mono" }, "wpe"), ` [${data.positions}\u00a0×\u00a0${C}]`] : []
$("drawing").style.setProperty("--heads", H)
fill($("drawing"),
  make("a", { class: "part text", href: "#boxes" }, make("b", {}, "text"), input),
  make("a", { class: "part embed", href: "#boxes" }, make("b", {}, "embedding"),
    make("span", { class: "note" }, make("span", { class: "mono" }, "wte"), ` [${whole(V)}\u00a0×\u00a0${C}]`, ...positions), embedded),
  firstSays,
  make("ol", { class: "blocks" }, ...layerRows.flatMap(({ row }, layer) => L > FEW && layer === 4 ? [unfolded, row] : [row])),
  make("a", { class: "part head", href: "#next" }, make("b", {}, "final norm, head, softmax"),
    make("span", { class: "note" }, make("span", { class: "mono" }, "ln_f"), `, then ${data.tied ? "wte transposed" : "lm_head"} [${C}\u00a0×\u00a0${whole(V)}]`), answer))

function drawModel(t) {
  const before = data.ids.slice(Math.max(0, t - 7), t)
  fill(input, t > 7 ? "… " : "", ...before.map(id => quoted(id)), make("q", { class: "now" }, ...shown(data.ids[t])))
  embedded.textContent = ` row ${data.ids[t]}` + (data.positions ? ` + row ${t}` : "")
  fill(firstSays, quoted(data.lens.ids(0, t, 0)), make("small", {}, percent(data.lens.probs(0, t, 0), 0)))
  layerRows.forEach(({ heads, neurons, says }, layer) => {
    drawHeads(heads, layer, t)
    fill(says, quoted(data.lens.ids(layer + 1, t, 0)), make("small", {}, percent(data.lens.probs(layer + 1, t, 0), 0)))
    says.setAttribute("aria-label", `after layer ${layer + 1} the likeliest would be ${said(data.lens.ids(layer + 1, t, 0))}`)
    const most = Math.max(...range(L).map(l => data.neurons.values(l, t, 0)))
    fill(neurons, ...range(Math.min(4, data.neurons.ids.shape[2])).map(n => make("span", {}, bar(data.neurons.values(layer, t, n) / most),
      make("small", {}, ...shown(data.neurons.promotes(layer, t, n, 0))))))
  })
  const { probs } = probabilities(t, 1, 0, 1, "openai")
  fill(answer, ...probs.slice(0, 5).map((p, i) => make("span", {}, quoted(data.top.ids(t, i)), bar(p / probs[0]),
    make("small", { class: "number" }, percent(p, 1)))))
  $("drawing-says").textContent = `The text up to token ${t}, ${said(data.ids[t])}, becomes ${C} numbers for each token. ` +
    `${L} layers follow; each adds to these numbers what attention by ${H} heads, and then a feed-forward layer of ${whole(4 * C)} neurons, ` +
    `make of them. A final norm and the output head turn them into a probability for each of ${whole(V)} tokens; ` +
    `the likeliest is ${said(data.top.ids(t, 0))}.`
}

// a row for each head: how much it looks at each token so far
function drawHeads(canvas, layer, t) {
  canvas.width = t + 1
  const context = canvas.getContext("2d"), image = context.createImageData(t + 1, H)
  for (const head of range(H)) for (const s of range(t + 1)) {
    const [r, g, b] = colours[Math.round(255 * weight(layer, head, t, s))]
    image.data.set([r, g, b, 255], 4 * (head * (t + 1) + s))
  }
  context.putImageData(image, 0, 0)
}
