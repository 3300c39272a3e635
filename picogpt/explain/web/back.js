// ---- the way back: the gradient of the loss at one token ----

const largestFirst = values => values.map((_, i) => i).sort((a, b) => values[b] - values[a])

// bars for [name, length], the longest first; also of a step of the model that learns, see learning.js
function lengthRows(pairs, n) {
  const order = largestFirst(pairs.map(([, length]) => length)).slice(0, n), most = pairs[order[0]]?.[1] || 1
  return order.map(i => make("tr", {}, make("th", { scope: "row", class: "mono" }, pairs[i][0]), make("td", {}, bar(pairs[i][1] / most)),
    make("td", { class: "number" }, small(pairs[i][1]))))
}

function drawBack(at) {
  if (!data.back) return fill($("back-loss"), "A single token has nothing after it, and so no loss.")
  const t = Math.min(at, T - 2), p = given(t + 1), loss = data.back.loss(t)
  fill($("back-loss"), at > t ? "The text ends with the chosen token; here is the one before it. " : "",
    "After token " + t + ", ", quoted(data.ids[t]), ", came ", quoted(data.ids[t + 1]), `, to which the model had given ${percent(p)}. The loss is −ln\u00a0${p.toPrecision(3)} = `,
    make("b", {}, loss.toFixed(3)), " nats.")

  // a row for each place of the stream, the end first, as the gradient meets them
  const lengths = range(L + 1).map(n => Math.hypot(...range(t + 1).map(s => data.back.stream(n, place(t, s)))))
  const most = Math.max(...lengths), largest = Math.max(...range(L + 1).flatMap(n => range(t + 1).map(s => data.back.stream(n, place(t, s)))))
  fill($("back-stream"), ...range(L + 1).reverse().map(n => {
    const each = range(t + 1).map(s => data.back.stream(n, place(t, s)))
    return make("tr", {}, make("th", { scope: "row" }, stage(n)), make("td", {}, bar(lengths[n] / most)), make("td", { class: "number" }, small(lengths[n])),
      make("td", { class: "wide" }, strip(each, largest)))
  }))

  const relevance = range(t + 1).map(s => data.back.relevance(place(t, s))), strongest = Math.max(...relevance.map(Math.abs))
  fill($("back-tokens"), ...relevance.map((x, s) => make("li", { "data-relevance": x,
    style: `background: color-mix(in srgb, var(${x < 0 ? "--accent" : "--less"}) ${45 * Math.sqrt(Math.abs(x) / strongest)}%, var(--paper))` },
    make("b", {}, ...shown(data.ids[s])), make("span", { class: "small number" }, small(x)))))

  const heads = range(L * H).map(n => [`layer ${Math.floor(n / H) + 1}, head ${n % H + 1}`, data.back.heads(t, Math.floor(n / H), n % H)])
  fill($("back-heads"), ...lengthRows(heads, 8))
  fill($("back-neurons"), ...lengthRows(range(data.back.lengths.shape[1]).map(i =>
    [`layer ${data.back.neurons(t, i, 0) + 1}, neuron ${data.back.neurons(t, i, 1)}`, data.back.lengths(t, i)]), 8))
  const arrays = data.arrays.map((name, i) => [name, data.back.arrays(t, i)])
  fill($("back-arrays"), ...lengthRows(arrays, 8))
  fill($("back-all"), ...lengthRows(arrays, arrays.length))
}
if (!data.back) $("back-parts").hidden = true
