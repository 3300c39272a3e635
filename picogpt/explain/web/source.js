// ---- shapes and source ----

$("letters").textContent = `Here: batch B 1, tokens T ${T}, channels C ${C}, heads H ${H}, size of a head D ${C / H}, vocabulary V ${whole(V)}.` +
  " A loop's first round is shown."

function drawSteps(steps, depth) {  // as a tree: what follows a step at a greater depth is inside it
  const made = []
  while (steps.length && steps[0].depth >= depth) {
    const step = steps.shift()
    const line = make("div", { class: "line" }, make("pre", {}, make("code", {}, step.text)),
      make("div", { class: "made" }, ...step.made.map(([name, shape]) => make("div", {}, `${name} [${shape.join(", ")}]`))),
      make("div", { class: "where" }, `${step.file}:${step.line} ${step.function}` + (step.times > 1 ? `, ${step.times} times` : "")))
    const inside = drawSteps(steps, step.depth + 1)
    made.push(inside.length ? make("details", { open: step.depth < 1 && step.times > 1 }, make("summary", {}, line), make("div", {}, ...inside)) :
      make("div", { class: "step" }, line))
  }
  return made
}
fill($("steps"), ...drawSteps([...data.steps], 0))
$("unfold").addEventListener("click", () => {
  const open = $("unfold").getAttribute("aria-pressed") !== "true"
  $("steps").querySelectorAll("details").forEach(details => details.open = open)
  $("unfold").setAttribute("aria-pressed", open)
  $("unfold").textContent = open ? "close all" : "open all"
})
