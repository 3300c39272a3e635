// ---- learning, live: a small model that learns in the server while one looks ----

const LEARN = LIVE?.learning && LIVE.path + "learning"
const RATES = [-4, -3.7, -3.5, -3.3, -3, -2.7, -2.5, -2.3, -2, -1.7].map(x => +(10 ** x).toPrecision(1))
const parts = {}  // of the panel, by name

function buildLearning() {
  const button = (name, text, what) => parts[name] = make("button", { class: "more", onclick: () => tell({ what }) }, text)
  parts.rate = make("input", { type: "range", id: "learn-rate", min: 0, max: RATES.length - 1, step: 1, oninput: () =>
    tell({ what: "rate", value: RATES[+parts.rate.value] }) })
  for (const name of ["facts", "curve", "layers", "attention", "texts", "prompt"]) parts[name] = make("div", { class: "of-" + name })
  parts.says = make("p", { role: "status" })
  parts.rateOut = make("output", {})
  fill($("learning-panel"), parts.facts,
    make("p", {}, button("go", "learn", "start"), " ", button("pause", "pause", "pause"), " ", button("step", "one step", "step"), " ",
      make("a", { href: "#back", class: "small unbroken" }, "the way back of the last step")),
    make("div", { class: "slider narrow" }, make("label", { for: "learn-rate" }, "learning rate"), parts.rateOut, parts.rate), parts.says,
    make("div", { class: "pair" },
      make("figure", {}, make("h3", {}, "Loss of each batch"), parts.curve),
      make("figure", {}, make("h3", {}, "Length of each layer’s gradient"), make("table", { class: "plain back" }, parts.layers = make("tbody", {}, make("tr", {}, make("td", { class: "soft" }, "as of the last step, once there is one"))))),
      make("figure", {}, make("h3", {}, "Attention, as it forms"), parts.attention, make("figcaption", {}, parts.prompt)),
      make("figure", {}, make("h3", {}, "What it writes"), parts.texts)))
}

async function tell(what) {
  const answer = await fetch(LEARN, { method: "POST", body: JSON.stringify(what) })
  const report = await answer.json()
  if (report.error && !answer.ok) parts.says.textContent = report.error
  else drawLearning(report, what.what === "step")
}

// the loss of every step so far, and the loss of guessing blindly, ln of the vocabulary, as the top
function drawCurve(curve, all, blind) {
  const steps = Math.min(all, Math.max(100, 1.25 * (curve[curve.length - 1]?.[0] ?? 0)))
  const most = Math.max(blind, ...curve.map(([, loss]) => loss)), x = step => 34 + 456 * step / steps, y = loss => 10 + 190 * (1 - loss / most)
  const last = curve[curve.length - 1]
  return svg("svg", { viewBox: "0 0 500 226", role: "img", "aria-label": last ? `Loss ${last[1].toFixed(2)} at step ${last[0]}` : "No step yet" },
    ...range(Math.floor(most) + 1).flatMap(n => [svg("line", { x1: 34, x2: 490, y1: y(n), y2: y(n) }), svg("text", { x: 28, y: y(n) + 4, "text-anchor": "end" }, n + "")]),
    svg("path", { class: "loss", d: curve.length ? "M" + curve.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join("L") : "" }),
    ...(last ? [svg("circle", { class: "now", cx: x(last[0]), cy: y(last[1]), r: 3 })] : []),
    svg("text", { x: 34, y: 220 }, "0"), svg("text", { x: 490, y: 220, "text-anchor": "end" }, `${whole(Math.round(steps))} steps`))
}

function drawLearning(report, single) {
  parts.facts.textContent = `A new model of ${report.hparams.n_layer} layers of ${report.hparams.n_head} heads and ${report.hparams.n_embd} channels learns a text token by token, as python -m picogpt.train would. It knows nothing yet ` +
    `but its ${report.hparams.n_vocab} tokens. What it learns goes to ${report.folder}: an ordinary training, which --resume goes on with.`
  const last = report.curve[report.curve.length - 1]
  parts.says.textContent = report.error || (report.done ? `Done: ${whole(report.steps)} steps. ` : `Step ${whole(report.step)} of ${whole(report.steps)}. `) + (last ? `Loss ${last[1].toFixed(3)}.` : "")
  parts.go.disabled = report.running || report.done
  parts.pause.disabled = !report.running
  parts.step.disabled = report.running || report.done
  parts.rateOut.textContent = report.rate + ""
  parts.rate.setAttribute("aria-valuetext", report.rate)
  if (document.activeElement !== parts.rate) parts.rate.value = RATES.map(r => Math.abs(Math.log(r / report.rate))).reduce((best, x, i, all) => x < all[best] ? i : best, 0)
  fill(parts.curve, drawCurve(report.curve, report.steps, Math.log(report.hparams.n_vocab)))
  if (report.lengths) {
    const most = Math.max(...report.lengths.layers.map(([, x]) => x))
    fill(parts.layers, ...report.lengths.layers.map(([name, x]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, bar(x / most)), make("td", { class: "number" }, small(x)))))
  }
  drawForming(report)
  fill(parts.texts, ...report.texts.toReversed().map(([step, text]) => make("p", { class: "wrote" }, make("span", { class: "small soft" }, `step ${step} `), make("span", { class: "mono" }, text.trim()))))
  if (single && report.lengths) drawBackOfStep(report)
  if (report.running) setTimeout(async () => drawLearning(await (await fetch(LEARN)).json()), 700)
}

function drawForming(report) {
  const attention = Object.assign(unpack(report.attention), { shape: report.attention.shape }), [layers, heads, tokens] = attention.shape
  parts.attention.style.setProperty("--columns", heads)
  fill(parts.attention, ...range(layers * heads).map(n => {
    const canvas = make("canvas", { width: tokens, height: tokens, role: "img", "aria-label": `attention of layer ${Math.floor(n / heads) + 1}, head ${n % heads + 1}` })
    const context = canvas.getContext("2d"), image = context.createImageData(tokens, tokens)
    for (const t of range(tokens)) for (const s of range(t + 1)) image.data.set([...colours[attention(Math.floor(n / heads), n % heads, t, s)], 255], 4 * (t * tokens + s))
    context.putImageData(image, 0, 0)
    return canvas
  }))
  fill(parts.prompt, `${layers} layers of ${heads} heads, reading `, make("q", {}, plain(report.prompt.join(""))))
}

// in the panel of the way back: the gradient of the very step that was made
function drawBackOfStep(report) {
  $("back-live").hidden = false
  const table = (name, rows) => make("figure", {}, make("table", { class: "plain" }, make("tbody", {}, ...lengthRows(rows, 8))), make("figcaption", {}, name))
  fill($("back-live"), make("h3", {}, `Step ${report.step} of the model that learns: which parts it changed most`),
    make("div", { class: "three" }, table("heads", report.lengths.heads), table("neurons", report.lengths.neurons), table("arrays of parameters", report.lengths.arrays)))
}

async function beginLearning() {
  $("learning").hidden = $("to-learning").hidden = false
  buildLearning()
  drawLearning(await (await fetch(LEARN)).json())
}
