"""A right solution of each rung, plainly; below a line, marked `wrong:`, what readers write in its place."""
