"""How large it gets: a small discrete-event simulator of the program on AWS, and the arithmetic to 100 million members.

`facts` and `regulars` state every input with its source; `spike`, `campaign`, `storm`, `hot_member` and `shards` run what cannot
be tried here; `arithmetic` and `costs` multiply. `make scale` writes the tables of docs/scale.md and draws docs/charts/.
"""
