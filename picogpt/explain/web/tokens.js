// ---- the row of tokens ----

const given = t => t === 0 ? 0 : data.lens.watched(L, t - 1, 0)  // the probability that token t was given

const chips = data.ids.map((id, t) => make("button", {
  role: "radio", class: t >= data.n_prompt && "new", "--p": given(t),
  "aria-label": `token ${t}, ${said(id)}, id ${id}` + (t ? `, had probability ${percent(given(t))}` : ""),
  onclick: () => pin(t), onmouseenter: () => show(t),
}, make("span", { class: "place" }, t + ""), ...shown(id)))
fill($("tokens"), ...chips)
$("tokens").addEventListener("mouseleave", () => show(state.pinned))
rove(chips, 1, pin)

function pin(t) {
  state.pinned = t
  chips.forEach((chip, i) => chip.tabIndex = i === t ? 0 : -1)
  const row = $("tokens"), chip = chips[t]  // scroll the row alone, never the page
  if (chip.offsetLeft < row.scrollLeft || chip.offsetLeft + chip.offsetWidth > row.scrollLeft + row.clientWidth)
    row.scrollLeft = chip.offsetLeft - row.clientWidth / 2
  show(t)
}

function drawMoment(t) {
  chips.forEach((chip, i) => chip.setAttribute("aria-checked", i === t))
  const best = data.watched(t, 1), follows = data.watched(t, 0)
  const tail = t === T - 1 ? ["The text ends here."] : follows === best ? ["It follows."] :
    ["What follows, ", quoted(follows), `, had ${percent(data.lens.watched(L, t, 0), 1)}.`]
  fill($("moment"), "After token " + t + ", ", quoted(data.ids[t]), ", the likeliest is ", quoted(best),
       ` with ${percent(data.lens.watched(L, t, 1), 1)}. `, ...tail)
}

const boxes = data.ids.map((id, t) => make("li", { class: t >= data.n_prompt && "new", onclick: () => pin(t) },
  make("b", {}, ...shown(id)), make("span", { class: "of" }, id + ""), make("span", { class: "of" }, data.bytes[t])))
fill($("box-list"), ...boxes)
const drawBoxes = t => boxes.forEach((box, i) => box.classList.toggle("chosen", i === t))
