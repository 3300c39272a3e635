"""More ways to choose what comes next than temperature, top_k and top_p: preferences, and beams."""
