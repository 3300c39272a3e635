// ---- the feed-forward layer: neurons that fire, and what they say ----

function drawNeurons(t) {
  const n = data.neurons.ids.shape[2], all = range(L).flatMap(layer => range(n).map(i => [layer, i]))
  const most = Math.max(...all.map(([layer, i]) => data.neurons.values(layer, t, i)), 1e-9)
  const strongest = Math.max(...all.map(([layer, i]) => Math.abs(data.neurons.effect(layer, t, i, state.watch))), 1e-9)
  fill($("neuron-head"), make("tr", {}, make("th", { scope: "col" }, "layer"), make("th", { scope: "col", class: "number" }, "neuron"),
    make("th", { scope: "col", colspan: 2 }, "activation"), make("th", { scope: "col", colspan: 2 }, "adds to the logit of ", quoted(watchedId(t))),
    make("th", { scope: "col" }, "raises most")))
  fill($("neuron-rows"), ...all.map(([layer, i]) => {
    const value = data.neurons.values(layer, t, i), effect = data.neurons.effect(layer, t, i, state.watch)
    return make("tr", { class: i === 0 && layer ? "first" : "" }, make("th", { scope: "row" }, i === 0 ? layer + 1 + "" : make("span", { class: "unseen" }, layer + 1 + "")),
      make("td", { class: "number" }, data.neurons.ids(layer, t, i) + ""), make("td", {}, bar(value / most)), make("td", { class: "number" }, value.toFixed(2)),
      make("td", {}, bar(Math.abs(effect) / strongest, effect < 0)), make("td", { class: "number" }, signed(effect)),
      make("td", {}, ...range(3).filter(j => j < data.neurons.promotes.shape[3]).flatMap(j => [quoted(data.neurons.promotes(layer, t, i, j)), " "])))
  }))
}
