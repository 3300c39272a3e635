// ---- one step of learning: before and after, at the rate of the slider ----

const optimisers = Object.keys(data.rates)
fill($("optimiser"), ...optimisers.map(name => make("option", {}, name)))
const rateOf = () => [0, ...data.rates[$("optimiser").value]][+$("rate").value]
$("rate").max = data.rates[optimisers[0]].length
$("rate").value = 5

const meanLoss = (o, r) => range(T - 1).reduce((sum, t) => sum - Math.log(data.step.probs(o, r, t)), 0) / (T - 1)

function drawStep(at) {
  if (!data.step) return
  const o = optimisers.indexOf($("optimiser").value), r = +$("rate").value, rate = rateOf()
  $("rate-out").textContent = rate === 0 ? "0, no step" : rate + ""
  $("rate").setAttribute("aria-valuetext", $("rate-out").textContent)
  const before = meanLoss(o, 0), after = meanLoss(o, r)
  fill($("step-says"), `Mean loss of the text: ${before.toFixed(3)} before, `, make("b", {}, after.toFixed(3)), " after",
    rate === 0 ? "." : after > before ? ": worse. The gradient says which way is down, not how far." : after < before / 2 ? ": much of it learned by heart in one step." : ".")
  fill($("step-rows"), ...range(T - 1).map(t => {
    const was = data.step.probs(o, 0, t), now = data.step.probs(o, r, t)
    return make("tr", { class: t === at ? "chosen" : "", "data-before": was, "data-after": now },
      make("th", { scope: "row" }, make("span", { class: "soft" }, t + 1 + " "), quoted(data.ids[t + 1])),
      make("td", {}, make("span", { class: "track", "aria-hidden": true }, make("i", { "--p": now }), make("i", { class: "before", "--p": was }))),
      make("td", { class: "number" }, percent(was, 1)), make("td", { class: "number" }, percent(now, 1)))
  }))
  fill($("step-others"), ...data.others.map((prompt, n) => {
    const was = data.step.likeliest(o, 0, n), now = data.step.likeliest(o, r, n)
    const first = data.step.others(o, 0, n, 1), later = data.step.others(o, r, n, 1)
    return make("tr", {}, make("th", { scope: "row" }, "“" + prompt + "”"), make("td", {}, quoted(was), " ", make("span", { class: "unbroken" }, `${percent(first, 1)} → ${percent(later, 1)}`)),
      make("td", {}, now === was ? "" : make("span", {}, "now ", quoted(now), ` ${percent(data.step.others(o, r, n, 0), 1)}`)))
  }))
}
for (const name of ["optimiser", "rate"]) $(name).addEventListener("input", () => drawStep(state.at))
if (!data.step) $("one-step").hidden = true
if (!data.others.length) $("others-box").hidden = true
