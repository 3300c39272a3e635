"""Make the texts that models are trained on."""
