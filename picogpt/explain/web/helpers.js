// ---- small helpers ----

const $ = id => document.getElementById(id)

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value)
    else if (key.startsWith("--")) element.style.setProperty(key, value)
    else if (value !== false && value !== undefined) element.setAttribute(key, value)
  element.append(...children)
  return element
}

const percent = (p, digits = 2) => (100 * p).toFixed(digits).replace("-", "−") + "%"
const fixed = (x, digits = 2) => x.toFixed(digits).replace("-", "−")
const signed = (x, digits = 2) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits)
const points = x => Math.abs(x) < 5e-4 ? "0.0" : (x < 0 ? "−" : "+") + Math.abs(100 * x).toFixed(1)
const size = x => x >= 1000 ? x.toFixed(0) : x >= 100 ? x.toFixed(1) : x.toFixed(2)
const whole = n => n.toLocaleString("en-US")
const plain = text => text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll("\r", "␍")
const text = id => data.texts[id]
const said = id => `“${plain(text(id))}”`

// the text of a token, its spaces made visible
function shown(id) {
  const parts = plain(text(id)).split(/( )/).filter(Boolean)
  return parts.map(part => part === " " ? make("span", { class: "space" }, "␣") : part)
}
const quoted = id => make("q", {}, ...shown(id))
const fill = (element, ...children) => { element.replaceChildren(...children); return element }

// arrow keys, Home and End move the focus within a group, which has one stop for the tab key
function rove(buttons, columns, choose) {
  buttons.forEach((button, i) => {
    button.tabIndex = i === 0 ? 0 : -1
    button.addEventListener("focus", () => buttons.forEach(b => b.tabIndex = b === button ? 0 : -1))
    button.addEventListener("keydown", event => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -i,
                     End: buttons.length - 1 - i }[event.key]
      if (step === undefined) return
      event.preventDefault()
      const next = buttons[i + step]
      if (next) { next.focus(); choose(i + step) }
    })
  })
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

const small = x => x === 0 ? "0" : Math.abs(x) >= .01 && Math.abs(x) < 1e4 ? (+x.toPrecision(3) + "").replace("-", "−") : x.toExponential(1).replaceAll("-", "−")
const range = n => Array.from({ length: n }, (_, i) => i)
const bar = (share, less = false) => make("span", { class: less ? "bar less" : "bar", "aria-hidden": true },
  make("i", { "--width": 100 * Math.min(1, Math.max(0, share)) + "%" }))

// the line of the source that does a step
const sourceLine = name => make("code", { class: "from" }, make("b", {}, `ops.py:${data.lines[name][0]}`), " " + data.lines[name][1])

const cssColour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const channels = colour => colour.slice(1).match(/../g).map(x => parseInt(x, 16))
const mixed = (a, b, x) => a.map((c, i) => Math.round(c + (b[i] - c) * Math.min(1, Math.max(0, x))))

// numbers as a strip of cells: above 0 in one colour, below 0 in the other, as strong as they are large
function strip(numbers, largest) {
  const canvas = make("canvas", { class: "strip", width: numbers.length, height: 1, "aria-hidden": true, "--n": numbers.length })
  const context = canvas.getContext("2d"), [none, more, less] = ["--wash", "--accent", "--less"].map(name => channels(cssColour(name)))
  numbers.forEach((x, i) => {
    context.fillStyle = `rgb(${mixed(none, x < 0 ? less : more, Math.sqrt(Math.abs(x) / largest))})`
    context.fillRect(i, 0, 1, 1)
  })
  return canvas
}
