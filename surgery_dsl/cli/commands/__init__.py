"""One file a command: a click command object called ``command``."""
