"""How a factor becomes columns: contrasts, polynomials and splines, dense or as indicators."""
