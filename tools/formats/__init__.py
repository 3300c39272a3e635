"""Other programs' formats of a GPT-2, for convert.py and verify."""
