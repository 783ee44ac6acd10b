"""How much each row of a fit changes it, in closed form: no row is left out and fitted again."""
