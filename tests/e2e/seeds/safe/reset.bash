# To run it again: refused while it is being run, and only the version named is forgotten.
koncli once reset app-init
