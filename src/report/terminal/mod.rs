//! Live lines, a live table, and the last screen.
