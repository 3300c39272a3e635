// ---- heads off ----

const change = (layer, head, t) => data.ablation.after(layer, head, t, state.watch) - data.lens.watched(L, t, state.watch)
const cells = []
for (let layer = 0; layer < L; layer++)
  for (let head = 0; head < H; head++)
    cells.push(make("button", { onclick: () => enlarge(layer, head), onmouseenter: () => sayOff(layer, head, state.at),
      onmouseleave: () => sayOff(state.layer, state.head, state.at) }))
rove(cells, H, i => enlarge(Math.floor(i / H), i % H))
$("off-table").style.setProperty("--columns", H)
fill($("off-table"),
  make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "head"), ...Array.from({ length: H }, (_, n) =>
    make("th", { scope: "col" }, n + 1 + "")))),
  make("tbody", {}, ...Array.from({ length: L }, (_, layer) => make("tr", {}, make("th", { scope: "row" }, `layer ${layer + 1}`),
    ...cells.slice(layer * H, (layer + 1) * H).map(cell => make("td", {}, cell))))))

function drawOff(t) {
  const changes = cells.map((_, n) => change(Math.floor(n / H), n % H, t)), most = Math.max(...changes.map(Math.abs), .005)
  cells.forEach((cell, n) => {
    cell.textContent = points(changes[n])
    cell.style.setProperty("--p", Math.abs(changes[n]) / most)
    cell.style.setProperty("--tone", changes[n] < 0 ? "var(--less)" : "var(--accent)")
    cell.setAttribute("aria-label", `layer ${Math.floor(n / H) + 1}, head ${n % H + 1} off: ${points(changes[n])} points`)
    cell.setAttribute("aria-pressed", n === state.layer * H + state.head)
  })
  sayOff(state.layer, state.head, t)
  const order = changes.map((_, n) => n).sort((a, b) => Math.abs(changes[b]) - Math.abs(changes[a])).slice(0, 5)
  $("off-most").textContent = "Most: " + order.map(n =>
    `layer ${Math.floor(n / H) + 1} head ${n % H + 1} (${points(changes[n])})`).join(", ") + "."
}

function sayOff(layer, head, t) {
  const now = data.ablation.says(layer, head, t), was = data.watched(t, 1)
  fill($("off-says"), `Without layer ${layer + 1}, head ${head + 1}, `, quoted(watchedId(t)),
    ` goes from ${percent(data.lens.watched(L, t, state.watch))} to ${percent(data.ablation.after(layer, head, t, state.watch))}; `,
    ...(now === was ? ["the likeliest is still ", quoted(was)] : ["the likeliest is no longer ", quoted(was), " but ", quoted(now)]), ".")
}
