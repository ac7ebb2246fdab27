"""An index as a whole: what it is, mending it, joining several of them."""
