"""Numbers, tables and phrases as text: what every view is written with."""
