"""The machine around the model: files, cores, the command line."""
