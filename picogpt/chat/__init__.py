"""At the prompt: a text that goes on, or a conversation, line by line."""
