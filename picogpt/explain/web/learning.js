// ---- learning, live ----
