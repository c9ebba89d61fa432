# From one holder to another in two steps: whoever waits comes between them.
koncli lease release my-lease --holder $OLD_HOLDER
koncli lease acquire my-lease --holder $NEW_HOLDER --ttl=10m
