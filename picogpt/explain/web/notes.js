// ---- about the numbers ----

const kept = Math.min(...data.ids.map((_, t) => 1 - probabilities(t, 1, 0, 1, "openai").rest))
const notes = [
  `Everything was computed by picogpt in 32-bit floating point when this file was made, by ${data.model.name} with ${whole(data.model.n_params)} parameters.`,
  V > K ? `After each token the page holds the ${K} likeliest of ${whole(V)} logits, exactly, and for each temperature of the slider the sum over the ` +
    `other ${whole(V - K)}: probabilities are those of the whole vocabulary. At temperature 1, the ${K} have ${percent(kept, 1)} or more. Not in the page: the others one by one.`
    : `After each token the page holds all ${whole(V)} logits, exactly.`,
  "All numbers are 32-bit floats, shown rounded. Attention’s shares are computed in the page, by softmax of the model’s scores.",
  "A head that is off puts out zeros. The bias of its layer's projection stays, and later layers are computed again from what is left.",
  "A neuron’s direct effect on a logit is its activation times its row of c_proj, through the final norm, whose divisor is kept as it was, and the output head: what later layers make of it is not in it.",
  "The way back is picogpt’s grad.py, the loss being that of one token. A part’s gradient is measured by its length: the root of the sum of squares of the numbers that belong to it. A head’s are its columns of c_attn and its rows of c_proj, a neuron’s its column of c_fc and its row of c_proj.",
  "One step of learning was really taken at every rate of the slider, on a copy of the model: the gradient of the text’s mean loss; AdamW from zero moments, betas 0.9 and 0.95, weight decay 0.1, or plain gradient descent (SGD); no clipping.",
  "The lens reads middle layers as if they were the last. They were not trained for that, so an early layer's answer shows what can be read, not what is there.",
]
fill($("note-list"), ...notes.map(note => make("li", {}, note)))
