"""Methods that choose the value of a param on data, so that claims about the choice keep their risk."""
