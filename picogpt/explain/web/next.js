// ---- next token ----

// The probabilities after token t, in the order of the K likeliest, and what the others have together: first
// the temperature, then top-k, then top-p, as `sample` in generate.py. At a temperature of the slider, the sum
// over the others is known, so nothing is estimated; only where top-p cuts among the others is its place not known.
function probabilities(t, temperature, k, p, rule) {
  const logits = Array.from({ length: K }, (_, i) => data.top.logits(t, i)), largest = logits[0]
  if (temperature === 0) return { probs: logits.map((_, i) => i === 0 ? 1 : 0), rest: 0, within: 0 }
  const scale = data.temperatures.indexOf(temperature)
  let sums = logits.map(l => Math.exp((l - largest) / temperature)), rest = Math.exp(data.top.rest(t, scale))
  if (0 < k && k < V) {
    sums = sums.map((s, i) => logits[i] < logits[k - 1] ? 0 : s)
    if (logits[K - 1] < logits[k - 1] || k <= K) rest = 0
  }
  const total = sums.reduce((a, b) => a + b, 0) + rest
  let probs = sums.map(s => s / total), within = 0
  rest /= total
  if (p < 1) {
    let sum = 0, before = 0
    for (const q of probs) { sum += q; if (rule === "hf" ? sum < p : sum <= p) before++ }
    if (before === K && rest > 0) {
      within = probs[K - 1]  // the cut is among the others: they keep p less the sum, within one token
      rest = Math.min(rest, Math.max(0, p - sum))
    } else {
      const last = Math.min(Math.max(before - (rule === "openai"), 0), K - 1)
      probs = probs.map((q, i) => logits[i] < logits[last] ? 0 : q)
      rest = 0
    }
    const kept = probs.reduce((a, b) => a + b, 0) + rest
    probs = probs.map(q => q / kept)
    rest /= kept
  }
  return { probs, rest, within }
}

$("temperature").max = data.temperatures.length
$("temperature").value = data.temperatures.indexOf(1) + 1
$("top-k").max = K
const settings = () => {
  const n = +$("temperature").value
  return [n === 0 ? 0 : data.temperatures[n - 1], +$("top-k").value, +$("top-p").value / 100, $("rule").value]
}

function drawNext(t) {
  const [temperature, k, p, rule] = settings(), before = probabilities(t, 1, 0, 1, rule)
  const { probs, rest, within } = probabilities(t, temperature, k, p, rule)
  const most = Math.max(probs[0], before.probs[0]), n = state.all ? K : Math.min(12, K)
  const bar = (now, was) => make("span", { class: "track", "aria-hidden": true },
    make("i", { "--p": now / most }), make("i", { class: "before", "--p": was / most }))
  const rows = probs.slice(0, n).map((q, i) => {
    const id = data.top.ids(t, i)
    return make("tr", { class: [q === 0 && "out", t < T - 1 && id === data.ids[t + 1] && "follows"].filter(Boolean).join(" "),
                        "data-id": id, "data-p": q },
      make("td", { title: `id ${id}` }, quoted(id)), make("td", {}, bar(q, before.probs[i])),
      make("td", { class: "number" }, q === 0 ? "–" : percent(q)),
      make("td", { class: "number soft" }, data.top.logits(t, i).toFixed(2)))
  })
  const others = probs.slice(n).reduce((a, b) => a + b, 0) + rest
  if (V > n) rows.push(make("tr", { class: others === 0 && "out", "data-p": others },
    make("td", { class: "soft" }, `${whole(V - n)} others`), make("td", { class: "soft small" }, "together"),
    make("td", { class: "number" }, others === 0 ? "–" : percent(others)), make("td")))
  fill($("next-rows"), ...rows)
  drawGoOn(t)  // of the served page
  $("more").textContent = state.all ? "show fewer" : `show ${K}`
  $("more").hidden = K <= 12
  $("temperature-out").textContent = temperature === 0 ? "0, greedy" : temperature.toFixed(2)
  $("top-k-out").textContent = k === 0 ? "all" : k
  $("top-p-out").textContent = p === 1 ? "100%, all" : percent(p, 0)
  for (const name of ["temperature", "top-k", "top-p"]) $(name).setAttribute("aria-valuetext", $(name + "-out").textContent)
  const left = probs.filter(q => q > 0).length
  fill($("next-says"), rest === 0 ? `${left} ${left === 1 ? "token" : "tokens"} can be drawn.` : within ?
    `More than ${K} tokens can be drawn. Where top-p cuts lies among those left out of this page: what is shown may be off by up to ${percent(within, 3)} of itself.` :
    `All ${whole(V)} tokens can be drawn.`)
}
for (const name of ["temperature", "top-k", "top-p", "rule"]) $(name).addEventListener("input", () => drawNext(state.at))
$("more").addEventListener("click", () => {
  state.all = !state.all
  $("more").setAttribute("aria-expanded", state.all)
  drawNext(state.at)
})
