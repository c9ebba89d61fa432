# Look, make, list and remove.
koncli once check app-init
koncli once create app-init --ttl 1h
koncli once list
koncli once delete app-init
