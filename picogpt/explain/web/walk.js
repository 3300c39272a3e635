// ---- attention, step by step, for one token, layer and head ----

const ROWS = 16  // tokens that are listed; of more, those that are looked at most
const vector = (kind, s) => range(data.vectors[kind].shape[3]).map(d => data.vectors[kind](state.layer, state.head, s, d))

const WALK = [
  { name: "query and keys", lines: [], columns: ["key"], text: t => [
    "A head makes three vectors of each token’s normalised stream. The ", make("dfn", {}, "query"), " is what a token looks for, the ",
    make("dfn", {}, "key"), " by what it can be found, the ", make("dfn", {}, "value"), ` what it hands over. Above is the query of token ${t}, below the keys.`] },
  { name: "scores", lines: ["scores"], columns: ["key", "product", "score"], text: () => [
    "The dot product of the query with each key says how well they match. It is divided by ", make("span", { class: "mono" }, `√D = √${D} = ${+Math.sqrt(D).toFixed(2)}`),
    ", lest longer vectors make bolder choices."] },
  { name: "mask", lines: ["mask"], columns: ["score", "masked"], text: t => [
    "A token may not look ahead: to the score of every later token −10", make("sup", {}, "10"), " is added. ",
    t < T - 1 ? `Here that hides ${T - 1 - t} of ${T} tokens.` : "After this token there is none, so nothing is hidden."] },
  { name: "softmax", lines: ["largest", "weights", "sum"], columns: ["raised", "weight"], text: () => [
    make("dfn", {}, "Softmax"), ` turns scores into shares that add up to 1: subtract the largest, take e to that power, divide by the sum, here ${sumOfRaised().toFixed(3)}.`] },
  { name: "values", lines: ["values"], columns: ["weight", "value"], text: () => [
    "The values are averaged by these shares. The average, at the foot of the table, is what this head puts out; the projection ",
    make("span", { class: "mono" }, "c_proj"), " adds it to the stream, beside those of the other heads."] },
]
const HEADS_OF = { key: "key", product: "q · k", score: "÷ √D", masked: "+ mask", raised: "e^(− largest)", weight: "share", value: "value" }

const share = w => [bar(w), make("span", { class: "of" }, percent(w, 1))]
const largestScore = () => Math.max(...range(state.at + 1).map(s => score(state.layer, state.head, state.at, s)))
const raised = s => Math.exp(score(state.layer, state.head, state.at, s) - largestScore())
const sumOfRaised = () => range(state.at + 1).reduce((sum, s) => sum + raised(s), 0)

const walkSteps = WALK.map(({ name }, n) => make("button", { role: "tab", "aria-controls": "walk-table", onclick: () => walkTo(n) }, `${n + 1} ${name}`))
fill($("walk-steps"), ...walkSteps)
rove(walkSteps, 1, n => walkTo(n))
function walkTo(n) { state.walk = n; drawWalk(state.at) }

function drawWalk(t) {
  const { layer, head } = state, step = WALK[state.walk], [q, k, v] = ["q", "k", "v"].map(kind => s => vector(kind, s))
  const d = data.vectors.q.shape[3]
  walkSteps.forEach((button, n) => { button.setAttribute("aria-selected", n === state.walk); button.tabIndex = n === state.walk ? 0 : -1 })
  fill($("walk-name"), "Step by step: token " + t + ", ", quoted(data.ids[t]), `, in layer ${layer + 1}, head ${head + 1}`)
  fill($("walk-text"), ...step.text(t))
  fill($("walk-line"), ...step.lines.map(sourceLine))

  const byWeight = range(t + 1).sort((a, b) => weight(layer, head, t, b) - weight(layer, head, t, a))
  const listed = byWeight.slice(0, ROWS).sort((a, b) => a - b), left = byWeight.slice(ROWS)
  const largestK = Math.max(...listed.flatMap(s => k(s)).concat(q(t)).map(Math.abs)), largestV = Math.max(...listed.flatMap(s => v(s)).map(Math.abs))
  const cell = (name, ...content) => make("td", { class: [name, step.columns.includes(name) && "now", name === "key" || name === "value" ? "" : "number"].filter(Boolean).join(" ") }, ...content)
  const row = s => {
    const x = score(layer, head, t, s), w = weight(layer, head, t, s)
    return make("tr", { "data-s": s }, make("th", { scope: "row" }, make("span", { class: "soft" }, s + " "), quoted(data.ids[s])),
      cell("key", strip(k(s), largestK)), cell("product", fixed(x * Math.sqrt(D))), cell("score", fixed(x)), cell("masked", fixed(x)),
      cell("raised", raised(s).toFixed(3)), cell("weight", ...share(w)), cell("value", make("span", { style: `opacity: ${.25 + .75 * Math.sqrt(w)}` }, strip(v(s), largestV))))
  }
  const rest = left.reduce((sum, s) => sum + weight(layer, head, t, s), 0)
  const more = left.length ? [make("tr", {}, make("th", { scope: "row", class: "soft" }, `${left.length} others`), cell("key"), cell("product"), cell("score"), cell("masked"), cell("raised"), cell("weight", ...share(rest)), cell("value"))] : []
  const hidden = t < T - 1 ? [make("tr", { class: "out" }, make("th", { scope: "row" }, `${T - 1 - t} later`), cell("key"), cell("product"), cell("score"),
    cell("masked", "−10", make("sup", {}, "10")), cell("raised", "0"), cell("weight", ...share(0)), cell("value"))] : []
  const out = range(d).map(i => range(t + 1).reduce((sum, s) => sum + weight(layer, head, t, s) * data.vectors.v(layer, head, s, i), 0))
  const title = name => make("th", { scope: "col", class: [name, step.columns.includes(name) && "now", name === "key" || name === "value" ? "" : "number"].filter(Boolean).join(" ") }, HEADS_OF[name])
  fill($("walk-table"),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "token"), ...Object.keys(HEADS_OF).map(title))),
    make("tbody", {}, make("tr", { class: "query" }, make("th", { scope: "row" }, "query of ", quoted(data.ids[t])), cell("key", strip(q(t), largestK)),
      ...Object.keys(HEADS_OF).slice(1).map(name => cell(name))), ...listed.map(row), ...more, ...hidden),
    make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, "comes out"), ...Object.keys(HEADS_OF).slice(0, -1).map(name => cell(name)),
      cell("value", strip(out, Math.max(...out.map(Math.abs), 1e-9))))))
  $("walk-note").textContent = `A strip shows ${d === D ? `all ${D}` : `the first ${d} of ${D}`} numbers of a vector: blue above 0, orange below, the stronger the larger.`
  $("walk-table").dataset.out = JSON.stringify(out)
}
