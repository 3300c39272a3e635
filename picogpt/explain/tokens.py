"""The tokens of a text as a person can read them."""


def token_bytes(encoder, i):
    """Return the bytes of a token, also of a tokenizer that knows only characters."""
    return encoder.token_bytes(i) if hasattr(encoder, "token_bytes") else encoder.decode([i]).encode()


def token_text(encoder, i):
    r"""Return the text of a token; bytes that are not a whole character stand as \xe2."""
    return token_bytes(encoder, i).decode("utf-8", errors="backslashreplace")


def quoted(encoder, i):
    r"""Return the text of a token in quotes; bytes that are not whole characters stand as '\xe2'."""
    content = token_bytes(encoder, i)
    try:
        return repr(content.decode())
    except UnicodeDecodeError:
        return repr(content)[1:]
