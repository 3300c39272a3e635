"""Formulas in the plain text of docstrings, set as MathML: y = g * (x - mean) / sqrt(variance + eps) + b.

The grammar is that of the docstrings. Names are variables if they look like it (`is_variable`), so that a
formula in a sentence ends where the sentence goes on. * and a space multiply, ^ is a power, ^T the
transposed, _ an index, / a fraction, and du/dx a derivative.
"""

import html
import re

TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z]\w*|==|!=|[-+*/^=()\[\],|])")
VARIABLE = re.compile(
    r"d?([a-zA-Z]{1,2}|[a-z]\d|log|loss|logits?|scores?|mask|mean|std|variance|eps|keep|head|layer|scale)"
)
GREEK = {"pi": "&#x3C0;", "eps": "&#x3B5;"}
FUNCTIONS = {"sqrt", "tanh", "exp", "ln", "cos", "erf", "softmax", "gelu", "sum", "mean", "max", "P"}
LONG = {"weight_decay", "learning_rate", "min_lr", "step", "dlogits", "dnormed", "dscores", "target", "past"}
NEVER = {"is", "of", "in", "by", "as", "at", "to", "it", "or", "an", "if", "so", "no", "on", "be", "we", "do"}
BEGINNING = re.compile(  # of a formula in a sentence: an equation, or the softmax of something composed
    r"(?<![\w`./-])(?:([A-Za-z]\w*(?:/\w+)?(?:\([\w, ]*\)(?:_\w)?)? = )"
    r"|softmax\((?=[^)]*[/^+])|e\^(?=\w))"
)
SIGNS = {"*": "&#x22C5;", "-": "&#x2212;"}


class NoFormula(ValueError):
    """A piece of text that is no formula."""


class Reader:
    """Reads a formula from the beginning of a text: `at` is how far it came."""

    def __init__(self, text):
        """Begin at the beginning."""
        self.text, self.at = text, 0

    def peek(self):
        """Return the next token, "" if there is none."""
        match = TOKEN.match(self.text, self.at)
        return match[1] if match else ""

    def take(self, *wanted):
        """Go past the next token and return it; NoFormula if it is none of those wanted."""
        match = TOKEN.match(self.text, self.at)
        if not match or (wanted and match[1] not in wanted):
            raise NoFormula(self.text)
        self.at = match.end()
        return match[1]

    def begins_factor(self):
        """Return whether a factor may begin here."""
        token = self.peek()
        known = is_variable(token) or token in FUNCTIONS or token.startswith("sum_")
        return known or token == "(" or token[:1].isdigit()

    def equation(self):
        """Read a = b [= c ...]; at least one sign of equality."""
        sides = [self.sum()]
        self.take("=")
        sides.append(self.sum())
        while self.peek() == "=":
            self.take()
            sides.append(self.sum())
        return "<mo>=</mo>".join(sides)

    def sum(self):
        """Read terms with + and - between them."""
        parts = [sign(self.take())] if self.peek() == "-" else []
        parts.append(self.term())
        while self.peek() in ("+", "-", "=="):
            before = self.at
            parts.append(sign(self.take()))
            try:
                parts.append(self.term())
            except NoFormula:  # a dash of the sentence
                self.at = before
                parts.pop()
                break
        return "".join(parts)

    def term(self):
        """Read factors: side by side, with * between them, or over one another with /."""
        whole = self.power()
        while True:
            if self.peek() == "/":
                self.take()
                whole = f"<mfrac><mrow>{bare(whole)}</mrow><mrow>{bare(self.power())}</mrow></mfrac>"
            elif self.peek() == "*":
                self.take()
                whole += sign("*") + self.term_after_times()
            elif self.begins_factor() and re.match(r"\s", self.text[self.at : self.at + 1]):
                whole += '<mspace width="0.2em"/>' + self.power()
            else:
                return whole

    def term_after_times(self):
        """Read what a * multiplies with; a fraction after it is one of this factor alone."""
        factor = self.power()
        if self.peek() == "/":
            self.take()
            return f"<mfrac><mrow>{bare(factor)}</mrow><mrow>{bare(self.power())}</mrow></mfrac>"
        return factor

    def power(self):
        """Read a factor and, after ^, its exponent."""
        base = self.factor()
        if self.peek() == "^":
            self.take()
            minus = sign(self.take()) if self.peek() == "-" else ""
            base = f"<msup><mrow>{base}</mrow><mrow>{minus}{bare(self.factor())}</mrow></msup>"
        return base

    def factor(self):
        """Read a number, a name, a function of something, or something in parentheses."""
        token = self.take()
        slope = re.match(r"/(d[a-z])\b", self.text[self.at :])
        if slope and re.fullmatch("d[a-z]", token):  # du/dx is one thing
            self.at += slope.end()
            return f"<mfrac>{name(token)}{name(slope[1])}</mfrac>"
        if token.startswith("sum_"):
            over = f"<munder><mo>&#x2211;</mo>{name(token[4:])}</munder>"
            return f"<mrow>{over}{self.power()}</mrow>"
        if token == "(":
            inside = self.sum()
            self.take(")")
            return f'<mrow class="group"><mo>(</mo>{inside}<mo>)</mo></mrow>'
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token in FUNCTIONS and self.text[self.at : self.at + 1] == "(":
            self.take("(")
            inside = [self.sum()]
            while self.peek() == ",":
                self.take()
                inside.append(self.sum())
            self.take(")")
            if token == "sqrt":
                return f"<msqrt>{inside[0]}</msqrt>"
            whole = f"<mrow>{name(token)}<mo>(</mo>{'<mo>,</mo>'.join(inside)}<mo>)</mo> </mrow>"
            index = re.match(r"_([a-z])\b", self.text[self.at :])
            self.at += index.end() if index else 0
            return f"<msub>{whole}{name(index[1])}</msub>" if index else whole
        if is_variable(token) or token in LONG:
            return name(token)
        raise NoFormula(self.text)


def is_variable(token):
    """Return whether a word is a variable of formulas, and not one of a sentence."""
    if token in LONG:
        return True
    if "_" in token:
        return all(is_variable(part) for part in token.split("_"))
    return bool(VARIABLE.fullmatch(token)) and token not in NEVER


def name(token):
    """Return a name: one letter slanted, longer ones upright, what follows _ or a letter as an index."""
    stem, _, index = token.partition("_")
    digit = re.fullmatch(r"([a-z])(\d)", token)
    if digit:
        stem, index = digit[1], digit[2]
    elif index and (len(stem) > 1 or len(index) > 1):
        stem, index = token, ""
    if re.fullmatch("d[a-zA-Z]", stem):
        shown = f"<mrow><mi>d</mi><mi>{stem[1]}</mi></mrow>"
    else:
        slanted = len(stem) == 1 or stem in GREEK
        upright = "" if slanted else ' mathvariant="normal"'
        shown = f"<mi{upright}>{GREEK.get(stem, stem)}</mi>"
    return f"<msub>{shown}<mi>{index}</mi></msub>" if index else shown


def sign(token):
    """Return an operator."""
    return f"<mo>{SIGNS.get(token, token)}</mo>"


def bare(shown):
    """Return a part without its parentheses, as over and under a line none are needed."""
    match = re.fullmatch(r'<mrow class="group"><mo>\(</mo>(.*)<mo>\)</mo></mrow>', shown, re.DOTALL)
    alone = match and match[1].count('<mrow class="group">') == match[1].count("<mo>)</mo></mrow>")
    return match[1] if alone else shown


def read(text, equation=True):
    """Return (MathML, how many characters of the text it is of) of the formula at the beginning of a text."""
    reader = Reader(text)
    shown = reader.equation() if equation else reader.sum()
    if "==" in text[: reader.at]:
        raise NoFormula(text)
    return shown, reader.at


def block(line):
    """Return a line of formulas as HTML, its notes beside them; None if it is no such line.

    dv = p^T dy, dp = dy v^T        notes stand after some spaces
    """
    line, _, note = re.sub(r",\s+", ", ", line.strip()).partition("   ")
    shown = []
    for part in re.split(r", (?![^(]*\))", line):
        try:
            formula, end = read(part)
        except NoFormula:
            formula, end = "", 0
        if not shown and end < len(part):
            return None
        shown.append(f"<math>{formula}</math>" if end == len(part) else f"<span>{html.escape(part)}</span>")
    note = f'<span class="note">{html.escape(note.strip())}</span>' if note else ""
    return f'<div class="formula">{" ".join(shown)}{note}</div>'


def sentence(text, prose):
    """Return a sentence as HTML, its formulas set as such and what is between them by `prose`."""
    parts, done = [], 0
    for match in BEGINNING.finditer(text):
        if match.start() < done or text[: match.start()].count("`") % 2:
            continue
        try:
            shown, end = read(text[match.start() :], equation=match[1] is not None)
        except NoFormula:
            continue
        parts += [prose(text[done : match.start()]), f"<math>{shown}</math>"]
        done = match.start() + end
    return "".join([*parts, prose(text[done:])])
