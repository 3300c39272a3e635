// ---- the lens ----

const stage = n => n === 0 ? "embedding" : `layer ${n}`
const watchedId = t => data.watched(t, state.watch)

document.querySelectorAll(".watch").forEach(select => {
  fill(select, make("option", { value: 0 }, "the token that follows"), make("option", { value: 1 }, "the likeliest token"))
  select.addEventListener("input", () => {
    state.watch = +select.value
    document.querySelectorAll(".watch").forEach(other => other.value = select.value)
    show(state.at)
  })
})

function drawLens(t) {
  fill($("lens-head"), make("tr", {}, make("th", { scope: "col" }, "after"),
    ...["likeliest", "second", "third", "fourth", "fifth"].slice(0, data.lens.ids.shape[2]).map(n => make("th", { scope: "col" }, n)),
    make("th", { scope: "col", class: "number" }, quoted(watchedId(t)))))
  fill($("lens-rows"), ...Array.from({ length: L + 1 }, (_, n) => make("tr", {},
    make("th", { scope: "row" }, stage(n)),
    ...Array.from({ length: data.lens.ids.shape[2] }, (_, i) => make("td", { "--p": data.lens.probs(n, t, i) },
      quoted(data.lens.ids(n, t, i)), make("small", {}, percent(data.lens.probs(n, t, i), 1)))),
    make("td", { class: "number" }, percent(data.lens.watched(n, t, state.watch))))))
  for (const cell of $("whole").querySelectorAll("[data-t]")) cell.classList.toggle("chosen", +cell.dataset.t === t)
}

fill($("whole"),
  make("thead", {}, make("tr", {}, make("th", { scope: "row" }, "after"), ...data.ids.map((id, t) =>
    make("th", { scope: "col", "data-t": t }, quoted(id))))),
  make("tbody", {}, ...Array.from({ length: L + 1 }, (_, n) => make("tr", {}, make("th", { scope: "row" }, stage(n)),
    ...data.ids.map((_, t) => make("td", { "data-t": t, "--p": data.lens.probs(n, t, 0), title: percent(data.lens.probs(n, t, 0), 1),
      onclick: () => pin(t) }, quoted(data.lens.ids(n, t, 0))))))))
