"""A drawing as SVG: shapes whose colours are the page's own, so that it is right in the dark, too.

A drawing is 380 units wide, the width of a phone's column, and is shown at no more than 480 pixels. Its title
and its description, in words, are what a reader hears who does not see it.
"""

import html

WIDTH = 380


class Drawing:
    """Shapes, one above the other, in the order in which they are added."""

    def __init__(self, name, title, height):
        """Begin a drawing of 380 by `height` units; `name` is unique in the book."""
        self.name, self.title, self.height, self.shapes = name, title, height, []

    def add(self, tag, content="", **attributes):
        """Add an element; x_1 stands for x-1, and class_ for class."""
        said = "".join(f' {k.rstrip("_").replace("_", "-")}="{short(v)}"' for k, v in attributes.items())
        self.shapes.append(f"<{tag}{said}>{content}</{tag}>" if content else f"<{tag}{said}/>")

    def text(self, x, y, words, anchor="start", class_="", **more):
        """Add words; anchor: start, middle or end."""
        words = html.escape(str(words))
        self.add("text", words, x=x, y=y, text_anchor=anchor, class_=class_ or "ink", **more)

    def box(self, x, y, width, height, share=None, class_="box"):
        """Add a rectangle; with a `share` from 0 to 1 one that is the fuller of colour the larger it is."""
        if share is None:
            self.add("rect", x=x, y=y, width=width, height=height, rx=2, class_=class_)
        else:
            self.add("rect", x=x, y=y, width=width, height=height, class_="mark", fill_opacity=share)

    def line(self, points, class_="stroke", **more):
        """Add a line through points (x, y)."""
        places = " ".join(f"{short(x)},{short(y)}" for x, y in points)
        self.add("polyline", points=places, class_=class_, **more)

    def arrow(self, x1, y1, x2, y2, class_="stroke"):
        """Add an arrow, upwards, downwards or to a side."""
        self.line([(x1, y1), (x2, y2)], class_)
        dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
        back, wing = (x2 - 6 * dx, y2 - 6 * dy), (3.5 * dy, 3.5 * dx)
        tip = [(x2, y2), (back[0] + wing[0], back[1] + wing[1]), (back[0] - wing[0], back[1] - wing[1])]
        points = " ".join(f"{short(x)},{short(y)}" for x, y in tip)
        self.add("polygon", points=points, class_=f"{class_} head")

    def cells(self, x, y, size, values, hidden=None):
        """Add a table of squares, the fuller the larger the value from 0 to 1; hidden ones are crossed."""
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                at = (x + j * size, y + i * size)
                if hidden is not None and hidden[i][j]:
                    self.line([(at[0] + 2, at[1] + size - 2), (at[0] + size - 2, at[1] + 2)], "faint")
                else:
                    self.box(*at, size, size, float(value))
                self.add("rect", x=at[0], y=at[1], width=size, height=size, class_="grid")

    def __str__(self):
        """Return the drawing: words that follow from the numbers belong into `description`."""
        ids = f"{self.name}-title", f"{self.name}-text"
        return (
            f'<svg class="drawing" viewBox="0 0 {WIDTH} {self.height}" role="img"'
            f' aria-labelledby="{ids[0]} {ids[1]}"><title id="{ids[0]}">{html.escape(self.title)}</title>'
            f'<desc id="{ids[1]}">{html.escape(self.description)}</desc>{"".join(self.shapes)}</svg>'
        )


def short(value):
    """Return a number with no more digits than a drawing needs."""
    return f"{value:.4g}" if isinstance(value, float) or hasattr(value, "dtype") else html.escape(str(value))
