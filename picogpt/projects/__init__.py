"""Small trainings, each a file that can be read alone: `python -m picogpt.projects.chars --help`."""
