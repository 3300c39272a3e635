"""Small trainings, one to a file: `python -m picogpt.projects.adder` trains, reports and saves."""
