// ---- attention ----

let colours  // 256 of them, for weights from 0 to 1

function readColours() {
  const stops = [0, 1, 2].map(n => channels(cssColour(`--map${n}`)))
  colours = Array.from({ length: 256 }, (_, n) => {
    const x = 2 * Math.sqrt(n / 255), from = x < 1 ? 0 : 1
    return stops[from].map((c, i) => Math.round(c + (stops[Math.min(from + 1, 2)][i] - c) * (x - from)))
  })
  const context = $("key").getContext("2d")
  colours.forEach((c, n) => { context.fillStyle = `rgb(${c})`; context.fillRect(n, 0, 1, 1) })
}

const maps = []
for (let layer = 0; layer < L; layer++)
  for (let head = 0; head < H; head++)
    maps.push(make("button", { class: "map", "aria-pressed": false, onclick: () => enlarge(layer, head) },
      make("canvas", { width: T, height: T, "aria-hidden": true }), make("i", { "aria-hidden": true })))
$("maps").style.setProperty("--columns", H)
$("maps").style.setProperty("--gap", H > 8 ? "3px" : "6px")
$("maps").style.setProperty("--T", T)
$("maps").append(make("div", { class: "heads soft", "aria-hidden": true }, "head",
  make("div", {}, ...Array.from({ length: H }, (_, n) => make("span", {}, n + 1 + "")))))
for (let layer = 0; layer < L; layer++)
  $("maps").append(make("div", { class: "layer" }, make("span", { class: "soft", "aria-hidden": true }, `layer ${layer + 1}`),
    make("div", {}, ...maps.slice(layer * H, (layer + 1) * H))))
rove(maps, H, i => enlarge(Math.floor(i / H), i % H))

function drawMaps() {
  maps.forEach((map, n) => {
    const context = map.firstChild.getContext("2d"), image = context.createImageData(T, T)
    for (let t = 0; t < T; t++)
      for (let s = 0; s <= t; s++) {
        const [r, g, b] = colours[Math.round(255 * weight(Math.floor(n / H), n % H, t, s))]
        image.data.set([r, g, b, 255], 4 * (t * T + s))
      }
    context.putImageData(image, 0, 0)
  })
}

function mostLookedAt(layer, head, t) {
  let best = 0
  for (let s = 1; s <= t; s++) if (weight(layer, head, t, s) > weight(layer, head, t, best)) best = s
  return best
}

function enlarge(layer, head) {
  Object.assign(state, { layer, head })
  for (const draw of [drawAttention, drawWalk, drawOff]) draw(state.at)
}

function drawAttention(t) {
  const { layer, head } = state
  $("maps").style.setProperty("--t", t)
  maps.forEach((map, n) => {
    const s = mostLookedAt(Math.floor(n / H), n % H, t), w = weight(Math.floor(n / H), n % H, t, s)
    map.setAttribute("aria-pressed", n === layer * H + head)
    map.setAttribute("aria-label", `layer ${Math.floor(n / H) + 1}, head ${n % H + 1}: token ${t} looks most at token ${s}, ` +
      `${said(data.ids[s])}, ${percent(w, 0)}`)
  })
  $("head-name").textContent = `Layer ${layer + 1}, head ${head + 1}`
  drawLarge(t)
  const best = mostLookedAt(layer, head, t)
  $("large").setAttribute("aria-label", `Attention of layer ${layer + 1}, head ${head + 1}, ${T} by ${T} tokens`)
  sayWeight(t, best, "looks most at")
  fill($("weights-name"), "What token " + t + ", ", quoted(data.ids[t]), `, looks at in layer ${layer + 1}, head ${head + 1}`)
  fill($("weights"), ...data.ids.slice(0, t + 1).map((id, s) => {
    const w = weight(layer, head, t, s)
    return make("li", { "data-weight": w, style: `background: color-mix(in srgb, var(--accent) ${45 * Math.sqrt(w)}%, var(--paper))` },
      make("b", {}, ...shown(id)), make("span", { class: "small number" }, percent(w, 0)))
  }))
}

function sayWeight(t, s, looks) {
  fill($("head-says"), "Token " + t + ", ", quoted(data.ids[t]), `, ${looks} token ${s}, `, quoted(data.ids[s]), ": " +
    percent(weight(state.layer, state.head, t, s), 1))
}

// the enlarged map, with the tokens at its sides where there is room for them
const names = data.ids.map(id => plain(text(id)).trim() || "␣").map(name => name.length > 11 ? name.slice(0, 10) + "…" : name)

function frameOfLarge() {
  const width = $("large").clientWidth, side = Math.min(16 + 7.3 * Math.max(...names.map(name => name.length)), 96)
  const cell = (width - side - 2) / T, labels = cell >= 8
  return { width, left: labels ? side : 1, cell: labels ? cell : (width - 2) / T, labels }
}

function drawLarge(t) {
  const { width, left, cell, labels } = frameOfLarge(), ratio = devicePixelRatio || 1
  const canvas = $("large"), style = getComputedStyle(document.documentElement)
  const height = left + cell * T + 1
  canvas.width = width * ratio
  canvas.height = height * ratio
  canvas.style.height = height + "px"
  const context = canvas.getContext("2d")
  context.scale(ratio, ratio)
  for (let row = 0; row < T; row++)
    for (let s = 0; s <= row; s++) {
      context.fillStyle = `rgb(${colours[Math.round(255 * weight(state.layer, state.head, row, s))]})`
      context.fillRect(left + s * cell, left + row * cell, cell - (cell > 6 ? 1 : 0), cell - (cell > 6 ? 1 : 0))
    }
  context.lineWidth = 2
  context.strokeStyle = style.getPropertyValue("--less")
  context.strokeRect(left - .5, left + t * cell - .5, (t + 1) * cell, cell)
  if (!labels) return
  context.textBaseline = "middle"
  const accent = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft")
  data.ids.forEach((id, n) => {
    context.fillStyle = n === t ? accent : soft
    context.font = `${n === t ? "600 " : ""}${Math.min(12, cell * .85)}px ${style.getPropertyValue("--mono")}`
    const short = names[n]
    context.textAlign = "right"
    context.fillText(short, left - 6, left + (n + .5) * cell, left - 8)
    context.save()
    context.translate(left + (n + .5) * cell, left - 5)
    context.rotate(-Math.PI / 2)
    context.textAlign = "left"
    context.fillText(short, 0, 0, left - 8)
    context.restore()
  })
}

function cellUnder(event) {
  const { left, cell } = frameOfLarge(), box = $("large").getBoundingClientRect()
  const s = Math.floor((event.clientX - box.left - left) / cell), t = Math.floor((event.clientY - box.top - left) / cell)
  return [t, s]
}
$("large").addEventListener("mousemove", event => {
  const [t, s] = cellUnder(event)
  if (0 <= s && s <= t && t < T) sayWeight(t, s, "looks at")
})
$("large").addEventListener("click", event => {
  const [t] = cellUnder(event)
  if (0 <= t && t < T) pin(t)
})
$("large").addEventListener("mouseleave", () => drawAttention(state.at))
if (data.time_weighting) $("weighted").textContent = "(before this model's learned time-weighting, which multiplies it)"
