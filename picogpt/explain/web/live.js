// ---- the served page: another prompt, another token ----
//
// What is looked at stands in the page's address (ids, how many of them were given, how many to add, temperature), so
// the browser's own back and forward lead through what was tried.

const LIVE = data.live

function address(changes) {
  const query = new URLSearchParams({ n: LIVE.n, temperature: LIVE.temperature, ...changes })
  return LIVE.path + "?" + query
}

// token after token t: the address that takes it instead of the one that came
const takes = (t, id) => address({ ids: [...data.ids.slice(0, t + 1), id].join(","), given: t + 2 })

function drawGoOn(t) {
  if (!LIVE) return
  for (const row of $("next-rows").querySelectorAll("[data-id]")) {
    const cell = row.cells[0], id = +row.dataset.id
    fill(cell, make("a", { href: takes(t, id), title: "go on with this token" }, quoted(id)))
  }
}

if (LIVE) {
  $("ask").hidden = $("go-on-says").hidden = false
  $("ask").action = LIVE.path
  $("prompt").value = LIVE.prompt
  $("ask-n").value = LIVE.n
  $("ask-temperature").value = LIVE.temperature
  $("ask-says").textContent = LIVE.says
  $("prompt").addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("ask").requestSubmit() }
  })
  $("ask").addEventListener("submit", () => $("ask-says").textContent = "reading …")
  // where the reader was, kept from one prompt to the next
  const kept = ["layer", "head", "watch", "walk"]
  addEventListener("pagehide", () => sessionStorage.setItem("view", JSON.stringify(
    { ...Object.fromEntries(kept.map(key => [key, state[key]])), y: scrollY })))
}

function backToTheView() {
  const view = JSON.parse(sessionStorage.getItem("view") ?? "{}")
  Object.assign(state, Object.fromEntries(Object.entries(view).filter(([key, value]) => key in state && (key !== "layer" || value < L) && (key !== "head" || value < H))))
  show(state.at)
  if (view.y) scrollTo(0, view.y)
}
