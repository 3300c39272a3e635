// ---- the stream ----

const N = data.stream.names.length

function drawStream(t) {
  const each = Array.from({ length: N }, (_, n) => n)
  const longest = Math.max(...each.map(n => data.stream.added(n, t)))
  const shares = each.map(n => data.stream.share(n, t)), low = Math.min(0, ...shares), high = Math.max(0, ...shares)
  const wide = x => 100 * x / (high - low) + "%"
  fill($("stream-rows"), ...each.map(n => {
    const added = data.stream.added(n, t), share = shares[n]
    return make("tr", {}, make("th", { scope: "row" }, data.stream.names[n]),
      make("td", {}, make("span", { class: "bar", "aria-hidden": true }, make("i", { "--width": 100 * added / longest + "%" }))),
      make("td", { class: "number" }, size(added)),
      make("td", {}, make("span", { class: share < 0 ? "bar less" : "bar", "aria-hidden": true },
        make("i", { "--from": wide(Math.min(share, 0) - low), "--width": wide(Math.abs(share)) }))),
      make("td", { class: "number" }, percent(share, 1)), make("td", { class: "number soft" }, size(data.stream.sums(n, t))))
  }))
  lines.forEach((line, i) => line.classList.toggle("chosen", i === t))
  lines[t].parentNode.append(lines[t])
}

// the lines of the chart: one for each token, from left to right what was added
const lines = (() => {
  const all = data.ids.flatMap((_, t) => Array.from({ length: N }, (_, n) => data.stream.sums(n, t))).filter(x => x > 0)
  const low = Math.log10(Math.min(...all)), high = Math.max(Math.log10(Math.max(...all)), low + .1)
  const x = n => 44 + (N > 1 ? n / (N - 1) : 0) * 446, y = v => 12 + (high - Math.log10(Math.max(v, 1e-9))) / (high - low) * 236
  const ticks = []
  for (let n = Math.floor(low); n <= high; n++)
    for (const m of [1, 2, 5]) if (m * 10 ** n >= 10 ** low && m * 10 ** n <= 10 ** high) ticks.push(+(m * 10 ** n).toPrecision(1))
  const paths = data.ids.map((_, t) => svg("path", { d: "M" + Array.from({ length: N }, (_, n) => `${x(n).toFixed(1)},${y(data.stream.sums(n, t)).toFixed(1)}`).join("L") }))
  $("chart").append(svg("svg", { viewBox: "0 0 500 276", role: "img", "aria-label":
      `Length of the residual stream of ${T} tokens after each of ${N} additions, from ${size(Math.min(...all))} to ${size(Math.max(...all))}` },
    ...ticks.flatMap(v => [svg("line", { x1: 44, x2: 490, y1: y(v), y2: y(v) }), svg("text", { x: 38, y: y(v) + 4, "text-anchor": "end" }, v + "")]),
    svg("g", {}, ...paths),
    svg("text", { x: 44, y: 270 }, "embedding"), svg("text", { x: 490, y: 270, "text-anchor": "end" }, data.stream.names[N - 1])))
  return paths
})()
