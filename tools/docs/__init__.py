"""Make the tables and pictures of docs/."""
