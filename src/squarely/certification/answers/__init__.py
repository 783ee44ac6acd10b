"""An answer that was made elsewhere: its coefficients are read from any object, and compared with least squares."""
