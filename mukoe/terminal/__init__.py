"""Progress on the terminal, without libraries, so that a program shows it before its imports."""
