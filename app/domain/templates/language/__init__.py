"""The language of templates: text with `{NAME|filter:argument}` in it. Pure: no I/O, no clock, nothing is executed.

`syntax` reads a text into nodes, `plan` compiles them once, and the plan renders for one recipient after another. A
plan never raises, and takes time and room that the limits of `syntax`, `values` and `plan` bound.
"""
