"""C and Cython that runs without the interpreter's lock: the tick and everything it touches."""
